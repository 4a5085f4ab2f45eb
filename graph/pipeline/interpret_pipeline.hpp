// All ranks of a pipeline on the host, in lockstep: the oracle for pipelined runs.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/pipeline/pipeline.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// When a message between a posted send and a posted receive is taken out of the sender's slot and put into the
/// receiver's: as soon or as late as can be. What a run computes depends on neither.
enum class Delivery : std::uint8_t { early, late };

struct PipelineRun {
  using Table = std::map<std::string, Tensor>;

  /// The mesh without the axis "pipeline", and the pipeline of each of its ranks.
  Mesh inner;
  const std::vector<Pipeline>& pipelines;
  /// By rank of `inner` and coordinate along the pipeline: the states that it holds, changed by the step.
  std::vector<std::vector<Table>>& states;
  /// Feeds and scalars by rank of `inner` and micro-batch; -1 in the update.
  std::function<Table(int inner_rank, int micro_batch)> feeds;
  Delivery delivery = Delivery::late;
};

/// One step; fetches by rank of `inner` and coordinate, nothing of states where the loss was not finite and `guarded`.
/// Throws InternalError where ranks wait for each other for ever.
std::vector<std::vector<PipelineRun::Table>> interpret_pipeline(const PipelineRun& run, bool guarded);

}  // namespace weft
