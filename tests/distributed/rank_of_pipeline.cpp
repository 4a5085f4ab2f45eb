#include "tests/distributed/rank_of_pipeline.hpp"

#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"

namespace weft::test {

RankOfPipeline::RankOfPipeline(Communicator& world, const PassedStep& step, const Mesh& mesh, int chunks,
                               const StateCutList& cuts, DType compute)
    : step_(step),
      inner_(without_pipeline(mesh)),
      inner_rank_(rank_without_pipeline(mesh, world.rank())),
      coordinate_(pipeline_coordinate(mesh, world.rank())),
      device_(make_cpu_device({1, CpuIsa::automatic, true})),
      states_(*device_),
      cache_(*device_),
      arena_(*device_),
      groups_(world, mesh) {
  make(mesh, chunks, cuts, compute);
  std::map<int, Program> programs;
  for (const int s : segments_of(pipeline_, coordinate_)) {
    const PipelineSegment& segment = pipeline_.segments[static_cast<std::size_t>(s)];
    LoweringOptions options;
    options.role = segment.name;
    programs[s] = lower(segment.graph, device_->oracle(), options).program;
    arena_.reserve(programs[s].arena_bytes[0], MemorySpace::host);
  }
  const Table initial = step.states();
  for (const std::string& name : states()) {
    const auto share = pipeline_.shares.find(name);
    if (share != pipeline_.shares.end())
      states_.add(name, InitialValue::zeros(share->second.dtype, share->second.shape), StateScope::transient);
    else
      states_.add(name, part(name, initial.at(name)));
  }
  executor_.emplace(pipeline_, coordinate_, std::move(programs), *device_, states_, cache_, arena_, groups_);
}

void RankOfPipeline::make(const Mesh& mesh, int chunks, const StateCutList& cuts, DType compute) {
  const Graph pass = step_.graph(Pass::middle), last = step_.graph(Pass::last);
  placements_ = state_placements(last, inner_, cuts);
  LoweringOptions options;
  options.mesh = inner_;
  options.rank = inner_rank_;
  options.cuts = settled_cuts(inner_, placements_);
  options.without = {"accumulate"};
  LoweringOptions of_pass = options;
  of_pass.compute = compute;
  const PipelineShape shape{mesh.axis_size(kPipelineAxis), chunks, static_cast<int>(step_.micro_batches)};
  pipeline_ = make_pipeline(lower_graph(pass, device_->oracle(), of_pass, "recompute"),
                            lower_graph(last, device_->oracle(), options, "cse"),
                            choose_stages(pass, {shape.ranks, shape.chunks, shape.micro_batches}), shape);
}

Tensor RankOfPipeline::part(const std::string& name, const Tensor& whole) const {
  const auto placement = placements_.find(name);
  return placement == placements_.end() ? whole : part_of(whole, placement->second, inner_.coordinates(inner_rank_));
}

bool RankOfPipeline::run(std::int64_t number, const Table& whole, bool guarded) {
  std::vector<Table> feeds;
  const SampleRange range = rank_samples(step_.pass_samples, inner_, inner_rank_);
  for (int j = 0; j < step_.micro_batches; ++j) {
    Table& table = feeds.emplace_back(step_.pass_feeds(whole, j));
    for (auto& [name, value] : table)
      if (value.shape().rank() > 0) value = rows(value, range.first, range.count);
    table[kRankSampleOffset] = Tensor::scalar(range.first);
    for (std::size_t a = 0; a < inner_.axes.size(); ++a)
      table[coordinate_input(inner_.axes[a].name)] = Tensor::scalar<std::int64_t>(inner_.coordinates(inner_rank_)[a]);
  }
  const auto bind = [&](Executor& segment, int micro_batch) {
    for (const auto& [name, value] : feeds[static_cast<std::size_t>(std::max(micro_batch, 0))])
      if (segment.has_feed(name)) segment.bind(name, value);
  };
  return executor_->run(number, bind, guarded);
}

}  // namespace weft::test
