// Control flow that is decided on import: conditionals and loops become straight lines.
#include <fmt/format.h>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

// A loop of more iterations is no part of a network's structure.
constexpr std::int64_t kMostIterations = 10'000;

/// A known condition chooses a branch; one that is data computes both, and selects: values have no side effects.
Values import_if(OpContext& c) {
  if (c.shape(0).elements() != 1) OpContext::unsupported("the condition must be one value");
  if (const Tensor* condition = c.try_constant(0))
    return c.importer().import_subgraph(c.graph(condition->as_int(0) != 0 ? "then_branch" : "else_branch"), {});
  const Values yes = c.importer().import_subgraph(c.graph("then_branch"), {});
  const Values no = c.importer().import_subgraph(c.graph("else_branch"), {});
  if (yes.size() != no.size()) OpContext::unsupported("its branches have different numbers of results");
  // Results that cannot be selected from at run time need the condition now.
  for (std::size_t i = 0; i < yes.size(); ++i)
    if (yes[i] != no[i] && (!is_tensor(yes[i]) || !is_tensor(no[i]) || c.b.type(yes[i]) != c.b.type(no[i])))
      c.constant(0, fmt::format("the condition, for result {} is of another type or shape in each branch,", i));
  const ValueId condition = c.b.reshape(c.in(0), Shape{});
  Values results;
  for (std::size_t i = 0; i < yes.size(); ++i) {
    if (yes[i] == no[i]) {
      results.push_back(yes[i]);
      continue;
    }
    results.push_back(c.b.select(condition, yes[i], no[i]));
  }
  return results;
}

ValueId with_leading_axis(GraphBuilder& b, ValueId x, int axis) {
  Dims extents = b.shape(x).extents();
  extents.insert(extents.begin() + axis, 1);
  return b.reshape(x, Shape(extents));
}

ValueId stacked(GraphBuilder& b, const Values& parts, int axis) {
  Values wide;
  for (const ValueId part : parts) {
    if (!is_tensor(part)) OpContext::unsupported("what it collects is a sequence of tensors");
    if (b.type(part) != b.type(parts.front()))
      OpContext::unsupported("what it collects changes shape between iterations");
    wide.push_back(with_leading_axis(b, part, axis));
  }
  return b.concat(wide, axis);
}

/// A loop whose trip count and condition are known on import, unrolled.
Values import_loop(OpContext& c) {
  const pb::GraphProto& body = c.graph("body");
  std::int64_t trips = c.has(0) ? c.constant_int(0, "the trip count") : kMostIterations + 1;
  bool go_on = !c.has(1) || c.constant_int(1, "the loop condition") != 0;
  Values carried(c.operands().begin() + std::min(2, c.size()), c.operands().end());
  const std::size_t collected_count = static_cast<std::size_t>(std::max(0, body.output_size() - 1)) - carried.size();
  if (body.output_size() < 1 + static_cast<int>(carried.size()))
    OpContext::unsupported("its body returns fewer values than it carries");
  std::vector<Values> collected(collected_count);
  for (std::int64_t i = 0; i < trips && go_on; ++i) {
    if (i >= kMostIterations) OpContext::unsupported(fmt::format("it runs more than {} times", kMostIterations));
    Values arguments = {c.b.constant(Tensor::scalar<std::int64_t>(i)), c.b.constant(Tensor::scalar<bool>(true))};
    arguments.insert(arguments.end(), carried.begin(), carried.end());
    const Values results = c.importer().import_subgraph(body, arguments);
    go_on = c.known(results[0], "the loop condition").as_int(0) != 0;
    std::copy_n(results.begin() + 1, carried.size(), carried.begin());
    for (std::size_t s = 0; s < collected_count; ++s) collected[s].push_back(results[1 + carried.size() + s]);
  }
  for (const Values& parts : collected) {
    if (parts.empty()) OpContext::unsupported("it runs no iteration, so that the shape of what it collects is unknown");
    carried.push_back(stacked(c.b, parts, 0));
  }
  return carried;
}

ValueId element(GraphBuilder& b, ValueId x, int axis, std::int64_t i) {
  Dims start(static_cast<std::size_t>(b.shape(x).rank()), 0), limit = b.shape(x).extents();
  start[static_cast<std::size_t>(axis)] = i;
  limit[static_cast<std::size_t>(axis)] = i + 1;
  const ValueId part = b.slice(x, start, limit, Dims(start.size(), 1));
  Dims extents = b.shape(x).extents();
  extents.erase(extents.begin() + axis);
  return b.reshape(part, Shape(extents));
}

std::int64_t entry(const Dims& dims, std::size_t i) { return i < dims.size() ? dims[i] : 0; }

Values import_scan(OpContext& c) {
  if (c.version() < 9) OpContext::unsupported("Scan before opset 9 had a batch dimension of its own");
  const pb::GraphProto& body = c.graph("body");
  const std::int64_t scans = c.integer("num_scan_inputs", 0);
  if (scans < 1 || scans > c.size() || body.output_size() < c.size() - scans)
    OpContext::unsupported("num_scan_inputs does not fit its operands");
  const auto states = static_cast<std::size_t>(c.size() - scans);
  Values carried(c.operands().begin(), c.operands().begin() + static_cast<std::ptrdiff_t>(states));
  const Dims input_axes = c.integers("scan_input_axes"), input_directions = c.integers("scan_input_directions");
  const Dims output_axes = c.integers("scan_output_axes"), output_directions = c.integers("scan_output_directions");
  std::vector<int> axes;
  std::int64_t length = -1;
  for (std::size_t s = 0; s < static_cast<std::size_t>(scans); ++s) {
    const ValueId x = c.in(static_cast<int>(states + s));
    axes.push_back(normalize_axis(entry(input_axes, s), c.b.shape(x).rank()));
    const std::int64_t extent = c.b.shape(x)[axes.back()];
    if (length >= 0 && extent != length) OpContext::unsupported("the sequences that it scans differ in length");
    length = extent;
  }
  if (length < 1 || length > kMostIterations)
    OpContext::unsupported(fmt::format("it scans {} elements; 1 to {} are supported", length, kMostIterations));
  std::vector<Values> collected(static_cast<std::size_t>(body.output_size()) - states);
  for (std::int64_t i = 0; i < length; ++i) {
    Values arguments = carried;
    for (std::size_t s = 0; s < axes.size(); ++s)
      arguments.push_back(element(c.b, c.in(static_cast<int>(states + s)), axes[s],
                                  entry(input_directions, s) != 0 ? length - 1 - i : i));
    const Values results = c.importer().import_subgraph(body, arguments);
    std::copy_n(results.begin(), states, carried.begin());
    for (std::size_t s = 0; s < collected.size(); ++s) collected[s].push_back(results[states + s]);
  }
  for (std::size_t s = 0; s < collected.size(); ++s) {
    if (entry(output_directions, s) != 0) std::reverse(collected[s].begin(), collected[s].end());
    const int rank = c.b.shape(collected[s].front()).rank() + 1;
    carried.push_back(stacked(c.b, collected[s], normalize_axis(entry(output_axes, s), rank)));
  }
  return carried;
}

constexpr OpRow kControlRows[] = {
    {"If", import_if, 1, kNewestOpset, "", true},
    {"Loop", import_loop, 1, kNewestOpset, "", true},
    {"Scan", import_scan},
};

}  // namespace

std::span<const OpRow> control_rows() { return kControlRows; }

}  // namespace weft::onnx
