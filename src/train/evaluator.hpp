// Evaluator: totals of loss and metrics over a whole evaluation set, on all ranks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/data/batch_reader.hpp"
#include "src/faults/stop_agreement.hpp"
#include "src/train/program_set.hpp"
#include "weft/job.hpp"

namespace weft {

/// How far an evaluation came.
struct Evaluation {
  std::vector<std::pair<std::string, double>> totals;  ///< loss first, then the metrics, of the samples seen
  std::int64_t samples = 0;
  StopDecision stop;  ///< why batches were left out; none: it saw all
};

class Evaluator {
 public:
  /// `programs` holds the evaluation Programs of a full batch and of the tail (batch_sizes of evaluation_batch).
  Evaluator(ProgramSet& programs, ReaderOptions reader);
  /// Collective over `world`. `wish` is asked before each batch; where any rank wishes to stop, all do after it.
  Evaluation run(std::int64_t step, Communicator& world, const std::function<StopKind()>& wish);

 private:
  ProgramSet& programs_;
  BatchReader reader_;
  std::int64_t passes_ = 0;  ///< epochs of the reader begun
};

/// Sizes of the global batches of `samples` samples: {batch, tail}, without those that do not occur.
std::vector<std::int64_t> batch_sizes(std::int64_t samples, std::int64_t batch);

/// Binds what `executor` is fed from `batch`: samples `offset` to `offset + count` of this rank's, of a pass whose
/// first sample of all ranks is number `sample_offset` of the step. This rank's first is number `rank_offset` of the
/// pass. Both scalars are bound, not copied: they must outlive the run.
void bind_feeds(Executor& executor, const Batch& batch, std::int64_t offset, std::int64_t count,
                const Tensor& sample_offset, const Tensor& rank_offset);

}  // namespace weft
