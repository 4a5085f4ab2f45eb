// One rank of a pipelined step: runs its script of segments and messages.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "graph/pipeline/pipeline.hpp"
#include "src/executor/executor.hpp"

namespace weft {

/// The segments that a rank runs: what it lowers, each to a Program of its own.
std::set<int> segments_of(const Pipeline& pipeline, int coordinate);

/// The states that a rank holds.
std::set<std::string> states_of(const Pipeline& pipeline, int coordinate);

/// Bytes of the slots of a rank's buffers, beside the arena and the states.
std::int64_t slot_bytes(const Pipeline& pipeline, int coordinate);

class PipelineExecutor {
 public:
  using Clock = std::chrono::steady_clock;

  /// `programs` by segment, those of segments_of. Allocates the slots, and compiles as Executor does. Collective.
  PipelineExecutor(const Pipeline& pipeline, int coordinate, std::map<int, Program> programs, Device& device,
                   StateTable& states, KernelCache& cache, ArenaPool& arena, CommunicatorSet& groups);

  /// Binds the feeds of a segment that are the caller's: the samples of a micro-batch, which must stay valid until the
  /// step has run. `micro_batch` is -1 in the update, which reads scalars at most.
  using BindFeeds = std::function<void(Executor& segment, int micro_batch)>;

  /// One step. Collective over the axis "pipeline", and over others as its segments are. False, on all ranks, when
  /// `guarded` and the loss is not a finite number: then no lasting state has changed. `observer` cannot end the run.
  bool run(std::int64_t step, const BindFeeds& bind, bool guarded, ExecutionObserver* observer = nullptr);

  /// A fetch of the last step: every rank has them all.
  Tensor fetch(const std::string& name) const;
  /// The last step, in seconds: until this rank's last pass had run, within them running passes, and in the whole step
  /// waiting for messages.
  struct Times {
    double passes = 0, computing = 0, waiting = 0;
  };
  const Times& times() const { return times_; }
  /// By segment.
  const std::map<int, std::unique_ptr<Executor>>& executors() const { return executors_; }

 private:
  struct Memory {
    std::byte* data = nullptr;
    std::int64_t bytes = 0;
  };

  Memory memory_of(const Transfer& transfer) const;
  Memory slot(int buffer, int micro_batch) const;
  void wait_for(std::unique_ptr<Request>& request);
  void run_segment(const PipelineAction& action, std::int64_t step, const BindFeeds& bind, ExecutionObserver* observer);
  bool loss_is_finite() const;

  RankScript script_;
  StateTable* states_;
  Communicator* group_;
  std::vector<std::unique_ptr<Allocation>> slots_;  ///< by buffer, one after the other
  std::vector<std::int64_t> slot_stride_;
  std::map<std::string, int> buffers_;
  std::map<int, std::unique_ptr<Executor>> executors_;
  const Executor* last_ = nullptr;  ///< the last that runs: it has the fetches
  std::vector<std::unique_ptr<Request>> receives_, sends_;
  Times times_;
  Clock::time_point started_{};
};

}  // namespace weft
