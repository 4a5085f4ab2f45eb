// Metrics, as sums and counts that add up over passes, ranks and batches.
#pragma once

#include <string>
#include <vector>

#include "graph/training/loss.hpp"

namespace weft {

/// What metrics look at: the output that the loss reads, and its target.
struct MetricInputs {
  const LossSpec& loss;
  const LossTarget& about;
  ValueId output = kNone;
  ValueId target = kNone;  ///< kNone where the model computes its own loss
  std::int64_t samples = 0;
};

/// A metric over some samples: mean = sum / count, or exp of it.
struct MetricSum {
  std::string name;
  LossSum terms;
  bool exponential = false;  ///< perplexity: exp(mean)
};

/// `names`: accuracy (the largest logit is the label's; for bce_with_logits, the sign is right), top5, perplexity (exp
/// of the mean cross-entropy without smoothing), mean_error (mean absolute error; of the probability for
/// bce_with_logits). Ignored labels do not count. Throws UserError for unknown names and for metrics that do not fit
/// the loss.
std::vector<MetricSum> append_metrics(GraphBuilder& builder, const std::vector<std::string>& names,
                                      const MetricInputs& inputs);

}  // namespace weft
