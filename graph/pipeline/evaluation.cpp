// Pipelines of graphs that only read states.
#include <fmt/format.h>

#include "graph/ir/passes/prune.hpp"
#include "graph/pipeline/pipeline.hpp"
#include "graph/pipeline/transfers.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Stages' segments, then one on each rank that has all results.
SegmentRules evaluation_rules(const Graph& graph, const PassNodes& nodes, const StageCut& cut, int ranks) {
  SegmentRules rules;
  rules.segment = forward_stages(graph, nodes, cut);
  rules.segments = static_cast<int>(cut.size()) + 1 + ranks;
  rules.made_again = [&](NodeId n, int) { return nodes.is_cheap(n) || graph.node(n).op == Op::reshape; };
  return rules;
}

}  // namespace

Pipeline make_evaluation_pipeline(const Graph& graph, const StageCut& cut, const PipelineShape& shape) {
  check_internal(shape.micro_batches == 1, "an evaluation runs one batch at a time");
  const Graph pruned_graph = pruned(graph);
  const PassNodes nodes(pruned_graph, true);
  const int stages = static_cast<int>(cut.size()) + 1;
  check_internal(stages == shape.ranks * shape.chunks, "a pipeline's cut has as many stages as it has");
  std::vector<SegmentOutput> outputs;
  for (const GraphOutput& o : pruned_graph.outputs()) {
    check_internal(o.role == OutputRole::fetch, "an evaluation changes the state '" + o.name + "'");
    for (int r = 0; r < shape.ranks; ++r) outputs.push_back({o.name, o.role, o.value, stages + r});
  }
  CutGraph segments =
      cut_graph(pruned_graph, evaluation_rules(pruned_graph, nodes, cut, shape.ranks), outputs, "evaluation");
  Pipeline result;
  result.shape = shape;
  std::vector<std::vector<SegmentRun>> order(static_cast<std::size_t>(shape.ranks));
  for (int s = 0; s < stages + shape.ranks; ++s) {
    const bool is_result = s >= stages;
    const int rank = is_result ? s - stages : s % shape.ranks;
    result.segments.push_back({is_result ? PipelineSegment::Kind::result : PipelineSegment::Kind::forward,
                               is_result ? "evaluation results" : fmt::format("evaluation {}", s), rank,
                               std::move(segments.segments[static_cast<std::size_t>(s)])});
    order[static_cast<std::size_t>(rank)].push_back({s, 0, 1});
  }
  result.scripts = make_scripts(order, segments.crossings, 1, {});
  check_progress(result.scripts);
  for (const auto& [state, ranks] : readers_of(result)) result.held[state].assign(ranks.begin(), ranks.end());
  return result;
}

StateReaders readers_of(const Pipeline& pipeline) {
  StateReaders readers;
  for (const PipelineSegment& s : pipeline.segments)
    for (const GraphInput& i : s.graph.inputs())
      if (i.role == InputRole::state) readers[i.name].insert(s.rank);
  return readers;
}

}  // namespace weft
