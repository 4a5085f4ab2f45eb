// CommThread: calls MPI, and runs schedules side by side until each is finished, failed or late. A compute thread that
// waits takes over while it would have to poll without pause anyway.
//
// How it shares the cores. While an operation moves, it polls without pause. Once nothing has moved for `spin`, it
// sleeps between polls, `shortest_sleep` at first and doubling up to `longest_sleep`; a compute thread that blocks in
// wait() frees its core, so then polling goes on for `spin_waited` before it sleeps. With nothing to do it sleeps until
// called. New work and new waiters wake it.
//
// What ends a wait. The operation finishes; or a message shows that ranks are not in the same operation; or the
// waiter's time is over; or another rank tells that one of these happened to it. After any but the first, the thread
// tells all others, and nothing is exchanged any more. Time in which this process itself was stopped does not count.
//
// Measured on two ranks of one compute thread each, on two cores (tests/bench/bench_allreduce): with the default policy
// a computation beside a request that nothing can advance takes as long as alone (16.50 against 16.55 ms), and with
// spin at 300 us and longest_sleep at 200 us 4 to 5 % longer.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "comm/flight_log.hpp"
#include "comm/mpi/failure_notices.hpp"
#include "comm/mpi/mpi_runtime.hpp"
#include "comm/mpi/transfers.hpp"
#include "weft/communicator.hpp"

namespace weft {

/// One schedule in flight, shared by the thread and the Request.
struct Operation {
  OperationLabel label;
  OperationSignature signature;
  std::string group_name;
  int peer = -1;  ///< world rank of a message's other side; -1: a collective
  bool sends = false;
  Schedule schedule;             ///< refers to signature and world_ranks
  std::vector<int> world_ranks;  ///< of the group, to name peers
  std::atomic<bool> finished{false};
  std::exception_ptr error;  ///< set before `finished`
  /// When the waiter gives up; none while nobody waits. Guarded by the thread's mutex.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::chrono::milliseconds patience{0};
  RequestTimes times;              ///< the second is set before `finished`
  std::shared_ptr<FlightLog> log;  ///< where it is entry `number`
  std::uint64_t number = 0;
};

class CommThread {
 public:
  CommThread(ProgressPolicy policy, std::chrono::milliseconds timeout);
  /// Stops the thread; what is in flight is abandoned. Does not touch MPI.
  ~CommThread();

  /// Runs `work` on the thread and waits for it at most `limit`. Rethrows what it throws; SystemError when late.
  void call(std::string_view what, std::chrono::milliseconds limit, std::function<void()> work);
  void submit(std::shared_ptr<Operation> operation);
  /// Blocks until finished; throws what the operation failed with.
  void wait(Operation& operation);

  /// An operation failed or was late: the state of MPI is unknown, and nothing is sent or received any more.
  bool broken() const { return broken_; }
  bool idle() const;
  /// From now on nothing may start; `why` is what the attempt is told.
  void close(std::string why);

  void set_timeout(std::chrono::milliseconds timeout) { timeout_ms_ = timeout.count(); }
  std::chrono::milliseconds timeout() const { return std::chrono::milliseconds(timeout_ms_); }
  void set_describe_peer(std::function<std::string(int)> describe);
  /// Operations that start from now on are logged there; `compare` says what the logs of all ranks show, and is asked
  /// when an operation is late.
  void set_flight_log(std::shared_ptr<FlightLog> log, std::function<std::string()> compare);
  /// From work of `call`: from now on failures are told to, and heard from, other ranks.
  void use_notices(std::unique_ptr<FailureNotices> notices) { notices_ = std::move(notices); }
  FailureNotices* notices() { return notices_.get(); }
  /// From now on failures are not told to others.
  void keep_quiet() { quiet_ = true; }

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void drive(const Operation& operation);
  bool await_work();
  // With the engine:
  void run_calls();
  bool advance();
  bool advance_all();
  void allow_for_pauses();
  void check_deadlines();
  void listen();
  void pause(Clock::time_point& last_progress);
  void finish(Operation& operation, std::exception_ptr error);
  void fail_all(const std::shared_ptr<Operation>& culprit, std::exception_ptr error);
  std::exception_ptr late(const Operation& operation) const;
  /// What the flight logs of all ranks show, as a further line of a message.
  std::string compared() const;

  const ProgressPolicy policy_;
  std::atomic<std::int64_t> timeout_ms_;
  std::atomic<bool> broken_{false}, quiet_{false};
  std::atomic<std::uint64_t> beat_{0};  ///< counts while somebody polls

  mutable std::mutex mutex_;
  std::condition_variable wake_;      ///< the thread sleeps here
  std::condition_variable finished_;  ///< waiters sleep here
  std::deque<std::function<void()>> calls_;
  std::deque<std::shared_ptr<Operation>> submitted_;
  std::function<std::string(int)> describe_peer_;
  std::function<std::string()> compare_flights_;
  std::shared_ptr<FlightLog> log_;
  int waiters_ = 0;
  bool stop_ = false;
  bool driven_ = false;    ///< a waiter polls: the thread stands back
  std::string broken_by_;  ///< the first failure

  std::mutex
      engine_;  ///< of whoever calls MPI: one at a time, which is what MPI_THREAD_SERIALIZED asks. Before mutex_.
  // The engine's own; `active_` changes under both locks.
  std::vector<std::shared_ptr<Operation>> active_;
  std::vector<std::shared_ptr<Operation>> abandoned_;  ///< kept, for MPI may still know their scratch
  Clock::duration sleep_{};
  Clock::time_point looked_{}, listened_{};
  std::unique_ptr<FailureNotices> notices_;

  std::thread thread_;  ///< last: everything above exists before it starts
};

}  // namespace weft
