// A job's full training step, bound to memory and ready to run, on made-up samples.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "src/executor/executor.hpp"
#include "src/train/step_compiler.hpp"
#include "weft/job.hpp"

namespace weft::bench {

class TrainingStep {
 public:
  /// Compiles and binds one pass over job.batch samples on one rank. Reads the shapes of the job's data, no samples.
  TrainingStep(const JobSpec& job, Device& device, double tune_seconds = 0);

  const std::vector<TunedKernel>& tuned() const { return tuned_; }

  const Lowered& lowered() const { return program_.lowered; }
  bool run(ExecutionObserver* observer = nullptr) { return executor_->run(1, observer); }

 private:
  void bind_feeds();

  TrainingProgram program_;
  std::vector<TunedKernel> tuned_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  std::unique_ptr<Executor> executor_;
  std::deque<Tensor> feeds_;
};

}  // namespace weft::bench
