// Evaluation of a graph with bounds, node by node.
#include "tests/fuzz/error_bounds.hpp"

#include <fmt/format.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "tests/fuzz/error_rules.hpp"

namespace weft::fuzz {
namespace {

/// A given number: exact, but for denormals, which a device may take for zeros.
Bounded given(const Tensor& x) {
  Bounded result{is_float(x.dtype()) ? x.cast(DType::f64) : x, Tensor(DType::f64, x.shape())};
  if (is_float(x.dtype()))
    for (std::int64_t i = 0; i < x.elements(); ++i)
      if (const double v = result.value.as_double(i); !representable(v, x.dtype()))
        result.error.mutable_values<double>()[static_cast<std::size_t>(i)] = std::abs(v);
  return result;
}

/// A number that f32 leaves as it is when something so much smaller is added to it, as scores to a mask of -1e9: then
/// the result is known, and is that number.
void absorb(const Node& node, const std::vector<Bounded>& operands, Bounded& result) {
  if (node.op != Op::add && node.op != Op::sub) return;
  auto value = result.value.mutable_values<double>(), error = result.error.mutable_values<double>();
  for (std::size_t i = 0; i < value.size(); ++i)
    for (std::size_t large : {0, 1}) {
      const auto at = [&](const Tensor& t) { return t.values<double>()[i]; };
      const Bounded &x = operands[large], &small = operands[1 - large];
      const double v = at(x.value);
      if (at(x.error) != 0 || !std::isfinite(v) || !representable(v, DType::f32)) continue;
      if (!(std::abs(at(small.value)) + at(small.error) < std::abs(v) * 0x1p-26)) continue;
      value[i] = node.op == Op::sub && large == 1 ? -v : v;
      error[i] = 0;
    }
}

Node with_wide_floats(const Node& node) {
  Node wide = node;
  if (node.op == Op::cast || node.op == Op::iota)
    if (is_float(node.attributes.dtype("dtype"))) wide.attributes.set("dtype", DType::f64);
  return wide;
}

}  // namespace

std::map<std::string, Bounded> bounded(const Graph& whole, const std::map<std::string, Tensor>& inputs) {
  const Graph graph = decompose(whole, [](const Node& node) { return node.op == Op::moments; });
  std::vector<Bounded> values(graph.values().size());
  for (const GraphInput& input : graph.inputs())
    values[static_cast<std::size_t>(input.value)] = given(inputs.at(input.name));
  std::vector<bool> added(graph.values().size(), false);
  for (const Node& node : graph.nodes())
    for (const ValueId v : node.inputs)
      if (node.op == Op::add || node.op == Op::sub) added[static_cast<std::size_t>(v)] = true;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::constant) {
      values[static_cast<std::size_t>(node.outputs[0])] = given(*node.literal);
      continue;
    }
    const Node wide = with_wide_floats(node);
    std::vector<TensorType> operand_types, types, wide_types;
    std::vector<Bounded> operands;
    std::vector<Tensor> tensors;
    for (const ValueId v : node.inputs) {
      operand_types.push_back(graph.type(v));
      operands.push_back(values[static_cast<std::size_t>(v)]);
      tensors.push_back(operands.back().value);
    }
    for (const ValueId v : node.outputs) {
      types.push_back(graph.type(v));
      wide_types.push_back(widened(types.back()));
    }
    const std::vector<Tensor> results = interpret_node(wide, wide_types, tensors);
    std::vector<Tensor> errors = result_errors(
        {node, wide, operand_types, types, operands, results, added[static_cast<std::size_t>(node.outputs[0])]});
    for (std::size_t i = 0; i < results.size(); ++i)
      values[static_cast<std::size_t>(node.outputs[i])] = {results[i], std::move(errors[i])};
    if (types[0].dtype == DType::f32) absorb(node, operands, values[static_cast<std::size_t>(node.outputs[0])]);
  }
  std::map<std::string, Bounded> outputs;
  for (const GraphOutput& o : graph.outputs()) outputs[o.name] = values[static_cast<std::size_t>(o.value)];
  return outputs;
}

std::string violation(const Tensor& got, DType type, const Bounded& want, std::int64_t* elements,
                      std::int64_t* determined) {
  if (got.dtype() != type || got.shape() != want.value.shape())
    return fmt::format("is {}, not {}", TensorType{got.dtype(), got.shape()}.str(),
                       TensorType{type, want.value.shape()}.str());
  for (std::int64_t i = 0; i < got.elements(); ++i) {
    const double error = want.error.as_double(i);
    if (elements != nullptr) ++*elements;
    if (std::isinf(error)) continue;
    if (determined != nullptr) ++*determined;
    if (!is_float(type)) {
      if (got.as_int(i) != want.value.as_int(i))
        return fmt::format("element {} is {}, not {}", i, got.as_int(i), want.value.as_int(i));
      continue;
    }
    const double g = got.as_double(i), w = want.value.as_double(i);
    if (std::isnan(g) && std::isnan(w)) continue;
    if (!(g == w || std::abs(g - w) <= 2 * error))
      return fmt::format("element {} is {:.17g}, not {:.17g} within {:.3g}", i, g, w, 2 * error);
  }
  return {};
}

}  // namespace weft::fuzz
