// One rank's part of a pipelined step on the CPU, with its states: cut, lowered and compiled.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "src/executor/pipeline_executor.hpp"
#include "tests/graph/pipeline/pipelined_step.hpp"

namespace weft::test {

class RankOfPipeline {
 public:
  /// Collective over `world`, which has the mesh's ranks.
  RankOfPipeline(Communicator& world, const PassedStep& step, const Mesh& mesh, int chunks,
                 const StateCutList& cuts = {}, DType compute = DType::f32);

  /// What this rank holds of a state of one rank's step.
  Tensor part(const std::string& name, const Tensor& whole) const;
  /// A step on this rank's samples of `whole`.
  bool run(std::int64_t number, const Table& whole, bool guarded = true);

  Tensor fetch(const std::string& name) const { return executor_->fetch(name); }
  std::set<std::string> states() const { return states_of(pipeline_, coordinate_); }
  Tensor state(const std::string& name) const { return states_.read(name); }
  const PipelineExecutor& executor() const { return *executor_; }
  const Pipeline& pipeline() const { return pipeline_; }

 private:
  void make(const Mesh& mesh, int chunks, const StateCutList& cuts, DType compute);

  PassedStep step_;
  Mesh inner_;
  int inner_rank_, coordinate_;
  std::map<std::string, Placement> placements_;
  Pipeline pipeline_;
  std::unique_ptr<Device> device_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  CommunicatorSet groups_;
  std::optional<PipelineExecutor> executor_;
};

}  // namespace weft::test
