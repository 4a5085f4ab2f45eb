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
  TrainingStep(const JobSpec& job, Device& device);

  const Lowered& lowered() const { return program_.lowered; }
  bool run(ExecutionObserver* observer = nullptr) { return executor_->run(1, observer); }

 private:
  void bind_feeds();

  TrainingProgram program_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  std::unique_ptr<Executor> executor_;
  std::deque<Tensor> feeds_;
};

}  // namespace weft::bench
