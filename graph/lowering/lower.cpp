// The list of lowering stages.
#include "graph/lowering/lower.hpp"

#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/lowering/body.hpp"
#include "graph/lowering/buckets.hpp"
#include "graph/lowering/emit.hpp"
#include "graph/lowering/fuse.hpp"
#include "graph/lowering/layouts.hpp"
#include "graph/lowering/schedule.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Decomposes composites, but not those operators that the device takes whole wherever they stand.
Graph decompose_for(const Graph& graph, const KernelOracle& oracle) {
  const Graph whole =
      decompose(graph, [](const Node& node) { return is_pointwise(node.op) || node.op == Op::moments; });
  bool claimed = true;
  for (const Node& node : whole.nodes())
    if (node.op == Op::moments) {
      const NodeId id = whole.value(node.outputs.at(0)).producer;
      claimed = claimed && oracle.ask(lowering::make_unit(whole, {id}, node.outputs, "").body).offer.has_value();
    }
  return claimed ? whole : decompose(whole, [](const Node& node) { return is_pointwise(node.op); });
}

}  // namespace

Lowered lower(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options) {
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::control)
      throw UserError("node '" + node.name + "' (" + std::string(name_of(node.op)) +
                      ") cannot be compiled yet: control flow runs on the host interpreter only");
  Lowered result;
  result.graph = simplify(decompose_for(graph, oracle));
  const std::vector<std::vector<NodeId>> buckets = lowering::plan_buckets(result.graph, options.bucket_bytes);
  const std::vector<lowering::Unit> units = lowering::fuse(result.graph, buckets, oracle);
  lowering::LoweredGraph lowered = lowering::assign_layouts(result.graph, units, oracle);
  result.decisions = std::move(lowered.decisions);
  lowered = lowering::bucket_collectives(std::move(lowered), buckets, oracle);
  const std::vector<lowering::Step> steps = lowering::schedule(lowered, options.guard);
  result.program = lowering::emit(std::move(lowered), steps, options.role, options.arena);
  return result;
}

}  // namespace weft
