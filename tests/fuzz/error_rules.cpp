// The rules of error propagation, by family of operators.
#include "tests/fuzz/error_rules.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ir/interpret.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

std::vector<Tensor> scan_errors(const Site& s) {
  const Shape& shape = s.results[0].shape();
  if (s.node.op == Op::cumsum)
    return {linear_error(s, 0, static_cast<double>(shape[static_cast<int>(s.node.attributes.integer("axis"))]))};
  const bool certain = order_is_certain(s.operands[0]);
  Tensor indices = certain ? Tensor(DType::f64, shape) : undetermined(shape);
  if (s.node.op != Op::top_k) return {indices};
  // The k-th largest moves by no more than the largest error along the axis.
  const auto errors = s.operands[0].error.values<double>();
  const double most = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  Tensor values = Tensor::full(DType::f64, shape, most);
  if (!is_float(s.result_types[0].dtype)) exact_or_nothing(values);
  return {values, indices};
}

Tensor indexing_error(const Site& s) {
  const std::size_t at = s.node.op == Op::scatter_add ? 0 : 1;  // of the indices
  const Shape& shape = s.results[0].shape();
  if (any_error(s.operands[at].error)) return undetermined(shape);
  const double terms = static_cast<double>(s.operands[at].value.elements());
  if (s.node.op == Op::scatter_add) return linear_error(s, 1, terms);
  if (s.node.op != Op::scatter_nd && s.node.op != Op::scatter_elements) {
    Tensor error = applied(s, {s.operands[0].error, s.operands[1].value});
    for (double& e : error.mutable_values<double>())
      if (std::isnan(e)) e = 0;  // outside the range
    return error;
  }
  const Bounded &x = s.operands[0], &updates = s.operands[2];
  const auto with = [&](const Tensor& a, const Tensor& b, const char* kind) {
    Node node = s.wide;
    node.attributes.set("kind", std::string(kind));
    return interpret_node(node, {{DType::f64, shape}}, {a, s.operands[1].value, b})[0];
  };
  const std::string& kind = s.node.attributes.text("kind");
  if (kind == "replace") return with(x.error, updates.error, "replace");
  if (kind == "max" || kind == "min" || !is_float(s.result_types[0].dtype)) return with(x.error, updates.error, "max");
  const Tensor size = with(absolute(x.value), absolute(updates.value), kind.c_str());
  if (kind == "add")
    return sum_error(s, with(x.error, updates.error, "add"), size, terms, coarse(x) && coarse(updates));
  if (any_error(x.error) || any_error(updates.error)) return undetermined(shape);
  Tensor error(DType::f64, shape);
  round_all(error, s.results[0], s.result_types[0].dtype, terms + 2);
  return error;
}

}  // namespace

double smallest_normal(DType type) { return type == DType::f64 ? 0x1p-1022 : type == DType::f16 ? 0x1p-14 : 0x1p-126; }
double largest(DType type) {
  return type == DType::f64 ? 0x1.fffffffffffffp1023 : type == DType::f16 ? 65504 : 0x1.fep127;
}

bool any_error(const Tensor& error) {
  const auto values = error.values<double>();
  return std::any_of(values.begin(), values.end(), [](double e) { return e != 0; });
}

Tensor undetermined(const Shape& shape) { return Tensor::full(DType::f64, shape, kUndetermined); }

Tensor applied(const Site& s, const std::vector<Tensor>& operands) {
  return interpret_node(s.wide, {{DType::f64, s.result_types[0].shape}}, operands)[0];
}

Tensor absolute(const Tensor& x) {
  Tensor result = x.cast(DType::f64);
  for (double& v : result.mutable_values<double>()) v = std::abs(v);
  return result;
}

double rounded(double value, double error, DType type, double units) {
  if (std::isnan(error)) return kUndetermined;
  if (std::isnan(value) || std::isinf(value)) return error;
  const double size = std::abs(value);
  error += size * (unit_roundoff(type) + units * unit_of_arithmetic(type));
  if (size < 2 * smallest_normal(type)) error += std::min(size, 2 * smallest_normal(type));  // flushed to zero, perhaps
  return size + error > largest(type) ? kUndetermined : error;
}

void round_all(Tensor& error, const Tensor& value, DType type, double units) {
  auto to = error.mutable_values<double>();
  const auto values = value.values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = rounded(values[i], to[i], type, units);
}

void exact_or_nothing(Tensor& error) {
  for (double& e : error.mutable_values<double>())
    if (e != 0) e = kUndetermined;
}

bool order_is_certain(const Bounded& x) {
  if (!any_error(x.error)) return true;
  const auto v = x.error.values<double>();
  std::vector<std::size_t> order(v.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto at = [&](std::size_t i) { return x.value.as_double(static_cast<std::int64_t>(i)); };
  for (std::size_t i = 0; i < v.size(); ++i)
    if (std::isnan(at(i)) || std::isinf(v[i])) return false;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return at(a) < at(b); });
  double reach = -kUndetermined;
  bool exact = true;
  for (const std::size_t i : order) {
    if (at(i) - v[i] <= reach && !(exact && v[i] == 0)) return false;
    reach = std::max(reach, at(i) + v[i]), exact = v[i] == 0;
  }
  return true;
}

TensorType widened(const TensorType& type) { return {is_float(type.dtype) ? DType::f64 : type.dtype, type.shape}; }

double unit_roundoff(DType type) {
  return type == DType::f64 ? 0x1p-53 : type == DType::f32 ? 0x1p-24 : type == DType::f16 ? 0x1p-11 : 0x1p-8;
}

double unit_of_arithmetic(DType type) { return type == DType::f64 ? 0x1p-53 : 0x1p-24; }

bool representable(double x, DType type) {
  return std::isnan(x) || (x == Tensor::full(type, Shape{}, x).as_double(0) &&
                           (x == 0 || std::isinf(x) || std::abs(x) >= smallest_normal(type)));
}

std::vector<Tensor> result_errors(const Site& s) {
  switch (class_of(s.node.op)) {
    case OpClass::source: {
      Tensor error(DType::f64, s.results[0].shape());
      if (s.node.op == Op::iota && is_float(s.result_types[0].dtype))
        for (std::int64_t i = 0; i < error.elements(); ++i)
          if (const double v = s.results[0].as_double(i); !representable(v, s.result_types[0].dtype))
            error.mutable_values<double>()[static_cast<std::size_t>(i)] = rounded(v, 0, s.result_types[0].dtype, 0);
      if (s.node.op == Op::random_bits &&
          std::any_of(s.operands.begin(), s.operands.end(), [](const Bounded& x) { return any_error(x.error); }))
        return {undetermined(s.results[0].shape())};
      return {error};
    }
    case OpClass::unary:
      if (s.node.op == Op::cast) return {cast_error(s)};
      return {s.result_types[0].dtype == DType::boolean && s.node.op != Op::logical_not &&
                      s.node.op != Op::stop_gradient
                  ? compare_error(s)
                  : elementwise_error(s)};
    case OpClass::binary: return {elementwise_error(s)};
    case OpClass::compare: return {compare_error(s)};
    case OpClass::ternary: return {select_error(s)};
    case OpClass::movement: {
      std::vector<Tensor> errors;
      for (const Bounded& x : s.operands) errors.push_back(x.error);
      return {applied(s, errors)};
    }
    case OpClass::indexing: return {indexing_error(s)};
    case OpClass::reduction:
      if (s.node.op == Op::argmax || s.node.op == Op::argmin || s.node.op == Op::cumsum || s.node.op == Op::top_k)
        return scan_errors(s);
      return {reduction_error(s)};
    case OpClass::contraction: return {contraction_error(s)};
    case OpClass::composite:
      if (s.node.op == Op::moments) return moments_errors(s);
      break;
    case OpClass::control:
    case OpClass::collective: break;
  }
  throw InternalError("no error bounds of " + std::string(name_of(s.node.op)));
}

}  // namespace weft::fuzz
