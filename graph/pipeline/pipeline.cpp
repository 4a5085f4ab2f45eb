// From two passes to every rank's segments and script.
#include "graph/pipeline/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/ir/passes/prune.hpp"
#include "graph/pipeline/pass_nodes.hpp"
#include "graph/pipeline/schedule.hpp"
#include "graph/pipeline/split_sums.hpp"
#include "graph/pipeline/transfers.hpp"
#include "graph/pipeline/update.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

class Maker {
 public:
  Maker(const Graph& pass, const Graph& last, const StageCut& cut, const PipelineShape& shape,
        const StateReaders& read_elsewhere)
      : pass_(split(pruned(pass), cut, shape)),
        update_(join_sums(update_of_step(last), shares_)),
        shape_(shape),
        read_elsewhere_(read_elsewhere),
        staged_(place_in_stages(pass_, cut)) {
    check(cut);
    std::map<std::string, int> homes;
    for (const auto& [state, stage] : staged_.homes) homes[state] = stage % shape.ranks;
    end_ = place_update(update_, shape.ranks, homes);
  }

  Pipeline run() {
    CutGraph passes = cut_graph(pass_, staged_.rules, staged_.outputs, "pass");
    CutGraph update = cut_graph(update_, end_.rules, end_.outputs, "update");
    add_segments(passes, update);
    std::vector<Crossing> crossings = std::move(passes.crossings);
    for (Crossing& c : update.crossings) {
      c.from += first_update();
      for (int& s : c.to) s += first_update();
      if (c.value == end_.guard) guard_ = c.name;
      crossings.push_back(std::move(c));
    }
    find_holders();
    result_.shape = shape_;
    result_.scripts = make_scripts(order(), crossings, shape_.micro_batches, copies());
    for (RankScript& script : result_.scripts) finish(script);
    check_progress(result_.scripts);
    return std::move(result_);
  }

 private:
  int stages() const { return shape_.ranks * shape_.chunks; }
  int first_update() const { return segment_count(stages()); }
  int first_start() const { return first_update() + end_.rules.segments; }

  Graph split(Graph pass, const StageCut& cut, const PipelineShape& shape) {
    return shape.micro_batches > 1 ? split_sums(pass, cut, shares_) : pass;
  }

  void check(const StageCut& cut) const {
    check_internal(shape_.ranks > 1 && shape_.chunks >= 1 && shape_.micro_batches >= 1,
                   "a pipeline has at least two ranks, a chunk and a micro-batch");
    check_internal(static_cast<int>(cut.size()) + 1 == stages(), "a pipeline's cut has as many stages as it has");
  }

  /// Segments of passes, then of the update, then those of passes that begin the sums of a step.
  void add_segments(CutGraph& passes, CutGraph& update) {
    using Kind = PipelineSegment::Kind;
    const int last = stages() - 1;
    for (int s = 0; s < first_update(); ++s) {
      const int stage = s <= last ? s : 2 * last - s;
      const Kind kind = s == last ? Kind::forward_and_backward : s < last ? Kind::forward : Kind::backward;
      static constexpr const char* kNames[] = {"forward", "forward and backward", "backward"};
      result_.segments.push_back({kind, fmt::format("{} {}", kNames[static_cast<int>(kind)], stage),
                                  stage % shape_.ranks, std::move(passes.segments[static_cast<std::size_t>(s)])});
    }
    for (int s = 0; s < end_.rules.segments; ++s)
      result_.segments.push_back({Kind::update, fmt::format("update {}", s / shape_.ranks), s % shape_.ranks,
                                  std::move(update.segments[static_cast<std::size_t>(s)])});
    for (int s = 0; s < first_update(); ++s) {
      PipelineSegment start = result_.segments[static_cast<std::size_t>(s)];
      start.name = "first " + start.name;
      start.graph = starting(start.graph);
      result_.segments.push_back(std::move(start));
    }
  }

  /// The same segment in the first pass of a step: sums begin anew.
  static Graph starting(const Graph& segment) {
    Graph result;
    std::vector<ValueId> mapped(segment.values().size(), kNone);
    const auto at = [&](ValueId v) -> ValueId& { return mapped[static_cast<std::size_t>(v)]; };
    for (const GraphInput& i : segment.inputs()) at(i.value) = result.add_input(i.name, i.role, segment.type(i.value));
    for (const Node& node : segment.nodes()) {
      std::vector<ValueId> inputs;
      std::vector<TensorType> types;
      for (const ValueId v : node.inputs) inputs.push_back(at(v));
      for (const ValueId v : node.outputs) types.push_back(segment.type(v));
      Node& copy = result.node(result.append(node.op, inputs, node.attributes, types, node.name));
      copy.literal = node.literal;
      for (std::size_t i = 0; i < node.outputs.size(); ++i) at(node.outputs[i]) = copy.outputs[i];
    }
    for (const GraphOutput& o : segment.outputs()) {
      const bool sums = o.role == OutputRole::state && o.name.starts_with(kAccumulated);
      result.add_output(o.name, o.role, at(sums ? added_to_state(segment, o) : o.value));
    }
    return pruned(result);
  }

  void find_holders() {
    StateReaders held = read_elsewhere_;
    for (const PipelineSegment& s : result_.segments) {
      for (const GraphInput& i : s.graph.inputs())
        if (i.role == InputRole::state) held[i.name].insert(s.rank);
      for (const GraphOutput& o : s.graph.outputs())
        if (o.role == OutputRole::state) held[o.name].insert(s.rank);
    }
    for (const ShareOfSum& share : shares_) result_.shares[share.name] = share.type;
    for (const auto& [state, ranks] : held) {
      check_internal(ranks.size() == 1 || !state.starts_with(kAccumulated),
                     "several ranks hold the sum '" + state + "'");
      std::vector<int>& list = result_.held[state];
      list.assign(ranks.begin(), ranks.end());
      if (const auto by = end_.updated_by.find(state); by != end_.updated_by.end())
        std::rotate(list.begin(), std::find(list.begin(), list.end(), by->second), list.end());
    }
  }

  std::vector<StateCopy> copies() const {
    std::vector<StateCopy> result;
    for (const auto& [state, rank] : end_.updated_by)
      for (const int other : result_.held.at(state))
        if (other != rank) result.push_back({state, rank, other});
    return result;
  }

  std::vector<std::vector<SegmentRun>> order() const {
    std::vector<std::vector<SegmentRun>> result;
    for (const RankSchedule& schedule : pipeline_schedule(shape_.ranks, shape_.micro_batches, shape_.chunks)) {
      std::vector<SegmentRun>& runs = result.emplace_back();
      for (const StagePass& pass : schedule) {
        const bool last = pass.stage == stages() - 1;
        if (pass.backward && last) continue;  // it is one with the forward pass
        runs.push_back({pass.backward ? backward_segment(pass.stage, stages()) : forward_segment(pass.stage),
                        pass.micro_batch,
                        pass.backward ? 2.0
                        : last        ? 3.0
                                      : 1.0});
      }
      const auto rank = static_cast<int>(result.size()) - 1;
      for (int level = 0; level < end_.levels; ++level)
        runs.push_back({first_update() + end_.segment(level, rank), 0, 1});
    }
    return result;
  }

  void finish(RankScript& script) {
    script.guard = guard_;
    for (PipelineAction& action : script.actions) {
      if (action.segment == PipelineAction::kNone) continue;
      if (action.segment >= first_update()) {
        action.updates = (action.segment - first_update()) / shape_.ranks == end_.levels - 1;
        action.micro_batch = PipelineAction::kNone;
      } else if (action.micro_batch == 0) {
        action.segment += first_start();
      }
    }
  }

  std::vector<ShareOfSum> shares_;
  const Graph pass_, update_;
  PipelineShape shape_;
  const StateReaders& read_elsewhere_;
  StagedPass staged_;
  StagedUpdate end_;
  std::string guard_;
  Pipeline result_;
};

}  // namespace

Pipeline make_pipeline(const Graph& pass, const Graph& last, const StageCut& cut, const PipelineShape& shape,
                       const StateReaders& read_elsewhere) {
  return Maker(pass, last, cut, shape, read_elsewhere).run();
}

Mesh without_pipeline(const Mesh& mesh) {
  Mesh inner;
  for (const MeshAxis& axis : mesh.axes)
    if (axis.name != kPipelineAxis) inner.axes.push_back(axis);
  return inner;
}

int rank_without_pipeline(const Mesh& mesh, int rank) {
  std::vector<int> at = mesh.coordinates(rank);
  if (const int axis = mesh.axis_index(kPipelineAxis); axis >= 0) at.erase(at.begin() + axis);
  return without_pipeline(mesh).rank(at);
}

int pipeline_coordinate(const Mesh& mesh, int rank) {
  const int axis = mesh.axis_index(kPipelineAxis);
  return axis < 0 ? 0 : mesh.coordinates(rank)[static_cast<std::size_t>(axis)];
}

}  // namespace weft
