// The training step of a job as one graph: forward, loss, gradients, clipping, optimiser, running statistics, metrics.
//
// Pure functions of the model and the job. The graph is the unsharded definition of a step: graph/partition makes one
// rank's share of it. Inputs:
//   feeds    the model's inputs by name; the loss target as "target"
//   states   the model's, by name; "optimizer/SLOT/NAME"; "step" (i64, optimiser steps done) and "seed" (i64);
//            "accumulate/NAME" between the passes of one step
//            "loss_scale" (f32) and "loss_scale_good_steps" (i64) with precision f16
//   scalars  "sample_offset" (i64): index of this pass's first sample in the step's batch
// Fetches of a pass that ends a step: "loss" (mean over the step's samples, before the update), one per metric (mean
// or ratio over the step's samples), "lr", "grad_norm" (before clipping), "finite" (bool: loss and norm of all
// gradients are finite numbers), "used_loss_scale" with precision f16. Other passes fetch nothing. With precision f16 a
// step that is not finite changes the loss scale and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/training/optimizer.hpp"
#include "graph/training/schedule.hpp"
#include "weft/graph.hpp"
#include "weft/job.hpp"

namespace weft {

/// Which of a step's passes a graph is: a step is `only`, or `first`, any number of `middle`, `last`.
enum class Pass : std::uint8_t { only, first, middle, last };

/// The model's forward graph bound to another number of samples: where shapes differ, samples lie.
struct ResizedForward {
  const Graph* forward = nullptr;
  std::int64_t samples = 0;
};

/// Sizes of one graph, over all ranks.
struct StepShape {
  std::int64_t pass_samples = 0;  ///< samples that this graph sees: the first dimension of the model's inputs
  std::int64_t step_samples = 0;  ///< samples of the whole optimiser step; less than job.batch in a tail
  Pass pass = Pass::only;
  RunLength run;
  std::optional<Shape> target_sample;  ///< shape of one stored target, where known (see find_loss_target)
  /// Where known, dropouts find their samples by it; otherwise by extents, which may mistake another dimension for
  /// theirs.
  std::optional<ResizedForward> resized = std::nullopt;
};

struct TrainingGraph {
  Graph graph;
  std::vector<AddedState> added;            ///< every state that the graph has beyond the model's; "seed" is job.seed
  std::vector<std::string> trained;         ///< parameters, in the model's order
  std::map<std::string, std::string> tied;  ///< model state without a buffer of its own -> the state that holds it
  std::int64_t batch_norm_group = 0;        ///< samples; 0 where no statistics are trained
};

/// Throws UserError on anything in the job that does not fit the model or the sizes, naming what would.
TrainingGraph build_training_step(const Model& model, const JobSpec& job, const StepShape& shape);

/// One number of an evaluation: sum / count over all batches, or exp of it.
struct EvaluationTotal {
  std::string name;                    ///< "loss", "accuracy", …
  std::string sum_fetch, count_fetch;  ///< f64 scalars that add up over batches
  bool exponential = false;
  double value(double sum, double count) const;
};

struct EvaluationGraph {
  Graph graph;  ///< feeds as above; states: the model's (tied ones under their holder's name); fetches: the totals
  std::vector<EvaluationTotal> totals;
};

/// Evaluation of `samples` samples: no dropout, batch norm on running statistics. Without a loss target only the
/// model's own loss is totalled. Throws as above.
EvaluationGraph build_evaluation(const Model& model, const JobSpec& job, std::int64_t samples,
                                 const std::optional<Shape>& target_sample = std::nullopt);

/// The type that the feed "target" must have for so many samples; absent where the model computes its own loss.
std::optional<TensorType> target_type(const Model& model, const JobSpec& job, std::int64_t samples,
                                      const std::optional<Shape>& target_sample = std::nullopt);

}  // namespace weft
