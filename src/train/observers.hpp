// What watches a step while it runs: the last-operation note, the guard against losses that are no numbers, the tracer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/executor/executor.hpp"

namespace weft {

/// Several observers as one; ends the run when one of them does.
class Observers final : public ExecutionObserver {
 public:
  void add(ExecutionObserver& observer) { observers_.push_back(&observer); }
  void begin(const Program& program, int instruction) override {
    for (ExecutionObserver* o : observers_) o->begin(program, instruction);
  }
  bool end(const Program& program, int instruction) override {
    bool go_on = true;
    for (ExecutionObserver* o : observers_) go_on = o->end(program, instruction) && go_on;
    return go_on;
  }
  void communicated(const Program& program, int instruction, const RequestTimes& times, double waited) override {
    for (ExecutionObserver* o : observers_) o->communicated(program, instruction, times, waited);
  }

 private:
  std::vector<ExecutionObserver*> observers_;
};

/// Ends a step as soon as its loss is known and is not a finite number: before any parameter has changed, so that the
/// step can be run again to find the cause. All ranks see the same loss, so they decide alike.
class LossGuard final : public ExecutionObserver {
 public:
  explicit LossGuard(const Executor& executor) : executor_(executor) {}
  void begin(const Program&, int) override {}
  bool end(const Program& program, int instruction) override;

 private:
  const Executor& executor_;
};

/// Looks at every kernel's results for the first that holds NaN or infinity. Slow: for diagnosis. Never ends a run, for
/// ranks may find different things.
class NonFiniteFinder final : public ExecutionObserver {
 public:
  explicit NonFiniteFinder(const Executor& executor) : executor_(executor) {}
  void begin(const Program&, int) override {}
  bool end(const Program& program, int instruction) override;
  /// "kernel 'conv1 + bias' (nodes /conv1, /relu): 12 of 4096 values are not finite"; empty when none was found.
  const std::string& found() const { return found_; }
  /// Collectives that were done before: what they bring may come from another rank.
  int collectives_before() const { return collectives_; }

 private:
  const Executor& executor_;
  std::string found_;
  int collectives_ = 0;
};

/// What communication took of one step.
class CommunicationTimes final : public ExecutionObserver {
 public:
  void begin(const Program&, int) override {}
  bool end(const Program&, int) override { return true; }
  void communicated(const Program&, int, const RequestTimes& times, double waited) override {
    flights_.push_back(times);
    exposed_ += waited;
  }
  /// Seconds in which the compute thread waited for collectives.
  double exposed() const { return exposed_; }
  /// Seconds in which at least one collective was in flight.
  double in_flight() const;

 private:
  std::vector<RequestTimes> flights_;
  double exposed_ = 0;
};

/// One timed instruction; of a collective, from its start to its end in the communication thread. Times are seconds
/// since the tracer was made.
struct TraceEvent {
  std::string name;
  std::string implementation;  ///< of a kernel: "onednn.convolution"
  Lane lane = Lane::compute;
  double start = 0, seconds = 0;
  std::int64_t step = 0;
};

class Tracer final : public ExecutionObserver {
 public:
  void set_step(std::int64_t step) { step_ = step; }
  void begin(const Program&, int) override { started_ = now(); }
  bool end(const Program& program, int instruction) override;
  void communicated(const Program& program, int instruction, const RequestTimes& times, double waited) override;
  const std::vector<TraceEvent>& events() const { return events_; }
  /// Events as a Chrome trace (Perfetto reads it): one process a rank, one track a lane, more for
  /// collectives that overlap. `ranks[r]` are rank r's events.
  static std::string chrome_json(const std::vector<std::vector<TraceEvent>>& ranks);
  std::vector<std::byte> pack() const;
  static std::vector<TraceEvent> unpack(const std::vector<std::byte>& bytes);

 private:
  double since_origin(std::chrono::steady_clock::time_point t) const {
    return std::chrono::duration<double>(t - origin_).count();
  }
  double now() const { return since_origin(std::chrono::steady_clock::now()); }

  std::chrono::steady_clock::time_point origin_ = std::chrono::steady_clock::now();
  double started_ = 0;
  std::int64_t step_ = 0;
  std::vector<TraceEvent> events_;
};

}  // namespace weft
