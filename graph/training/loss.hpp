// Losses, with PyTorch's names and formulas, as a sum over samples and the number of terms that it has.
//
// Keeping sum and count apart is what lets passes, ranks and tails of any size add up to the mean over the global
// batch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "graph/ir/builder.hpp"
#include "weft/job.hpp"

namespace weft {

/// What the loss reads: one output of the model, and the type that its target must have.
struct LossTarget {
  std::string output;                ///< name of the model's output
  std::optional<TensorType> target;  ///< absent: the model computes the loss
  int class_axis = -1;               ///< cross_entropy
};

/// Finds the output and the target's type. `target_sample` is the shape of one stored target (its dataset without the
/// samples), where known: it picks cross_entropy's class axis where several would fit, and is checked against the
/// output. Extents of 1 that only one side has are forgiven for elementwise losses ([N] for [N, 1]).
/// Throws UserError naming both shapes where they do not fit, and for unknown losses and options out of range.
LossTarget find_loss_target(const Graph& forward, const LossSpec& loss, const std::optional<Shape>& target_sample,
                            std::int64_t samples);

/// A loss over some samples: mean = sum / count.
struct LossSum {
  ValueId sum = kNone;                ///< floating scalar
  ValueId counted = kNone;            ///< i64 scalar where the count depends on the data (ignored labels), else kNone
  std::int64_t count_per_sample = 1;  ///< terms of one sample, where none can be ignored
};

/// `output` is the model's output; `target` a value of LossTarget::target's type, or kNone. `samples` in this pass.
LossSum append_loss(GraphBuilder& builder, const LossSpec& loss, const LossTarget& about, ValueId output,
                    ValueId target, std::int64_t samples);

/// Bool, the target's shape: the labels that are not ignored.
ValueId counted_labels(GraphBuilder& builder, const LossSpec& loss, ValueId labels);

}  // namespace weft
