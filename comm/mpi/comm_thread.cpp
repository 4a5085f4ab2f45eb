// The loop of the communication thread, and how waiting ends: finished, failed, or late.
#include "comm/mpi/comm_thread.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>

#include "weft/error.hpp"

namespace weft {
namespace {

using std::chrono::milliseconds;

// A waiter gives the thread this much longer to say who is missing, before it concludes that MPI itself is stuck.
constexpr milliseconds kGrace{5000};
// A thread that polls and finds so much time gone was stopped, or had no core.
constexpr milliseconds kPause{500};
constexpr milliseconds kBetweenListening{2};
constexpr milliseconds kBetweenBeats{1000};
// A waiter that wants to poll itself gives the thread so long to stand back.
constexpr std::chrono::microseconds kStandBack{50};

std::string describe(const OperationLabel& label) {
  return fmt::format("'{}' (step {}, sequence {})", label.name, label.step, label.sequence);
}

}  // namespace

CommThread::CommThread(ProgressPolicy policy, milliseconds timeout)
    : policy_(policy),
      timeout_ms_(timeout.count()),
      log_(std::make_shared<FlightLog>(0, 1, 0)),
      thread_([this] { run(); }) {}

CommThread::~CommThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void CommThread::call(std::string_view what, milliseconds limit, std::function<void()> work) {
  // Shared, for the work may outlive a caller that gave up.
  auto promise = std::make_shared<std::promise<void>>();
  std::future<void> done = promise->get_future();
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back([promise, work = std::move(work)] {
      try {
        work();
        promise->set_value();
      } catch (...) {
        promise->set_exception(std::current_exception());
      }
    });
  }
  wake_.notify_one();
  if (done.wait_for(limit) != std::future_status::ready) {
    broken_ = true;
    throw SystemError(fmt::format("{} did not finish within {:.1f} s: a peer did not come, or the MPI library is stuck",
                                  what, std::chrono::duration<double>(limit).count()));
  }
  done.get();
}

void CommThread::submit(std::shared_ptr<Operation> operation) {
  {
    const std::lock_guard lock(mutex_);
    if (broken_)
      throw SystemError(
          fmt::format("{} cannot start: an earlier operation failed:\n  {}", describe(operation->label), broken_by_));
    operation->log = log_;
    operation->number = log_->start({operation->signature, static_cast<int>(operation->world_ranks.size()),
                                     operation->group_name, operation->label.place, operation->peer, operation->sends});
    operation->times.started = Clock::now();
    const bool waits = operation->label.waits;
    submitted_.push_back(std::move(operation));
    if (waits) return;
  }
  wake_.notify_one();
}

void CommThread::wait(Operation& operation) {
  if (!operation.finished.load(std::memory_order_acquire)) {
    std::unique_lock lock(mutex_);
    operation.patience = timeout();
    operation.deadline = Clock::now() + operation.patience;
    ++waiters_;
    lock.unlock();
    drive(operation);
    lock.lock();
    if (!operation.finished) wake_.notify_one();
    while (!operation.finished && Clock::now() < *operation.deadline + kGrace)
      finished_.wait_until(lock, *operation.deadline + kGrace);
    --waiters_;
    if (!operation.finished) {
      broken_ = true;
      throw SystemError(fmt::format("{} did not finish within {:.1f} s, and the MPI library does not answer",
                                    describe(operation.label),
                                    std::chrono::duration<double>(operation.patience).count()));
    }
  }
  if (operation.error) std::rethrow_exception(operation.error);
}

// The waiter does what the thread would do, for as long as that would poll without pause: two switches between threads
// are most of what a small operation takes.
void CommThread::drive(const Operation& operation) {
  {
    const std::lock_guard lock(mutex_);
    if (driven_) return;
    driven_ = true;
  }
  const auto began = Clock::now();
  std::unique_lock engine(engine_, std::try_to_lock);
  while (!engine && !operation.finished && Clock::now() - began < kStandBack) engine.try_lock();
  for (auto last_progress = Clock::now(); engine && !operation.finished;) {
    if (advance()) {
      last_progress = Clock::now();
      continue;
    }
    if (Clock::now() - last_progress > policy_.spin_waited) break;
    std::this_thread::yield();
  }
  if (engine) engine.unlock();
  bool work_left = false;
  {
    const std::lock_guard lock(mutex_);
    driven_ = false;
    work_left = stop_ || !active_.empty() || !submitted_.empty() || !calls_.empty();
  }
  if (work_left) wake_.notify_one();
}

bool CommThread::idle() const {
  const std::lock_guard lock(mutex_);
  return submitted_.empty() && active_.empty() && calls_.empty();
}

void CommThread::close(std::string why) {
  const std::lock_guard lock(mutex_);
  broken_ = true;
  broken_by_ = std::move(why);
}

void CommThread::set_describe_peer(std::function<std::string(int)> describe_peer) {
  const std::lock_guard lock(mutex_);
  describe_peer_ = std::move(describe_peer);
}

void CommThread::set_flight_log(std::shared_ptr<FlightLog> log, std::function<std::string()> compare) {
  const std::lock_guard lock(mutex_);
  log_ = std::move(log);
  compare_flights_ = std::move(compare);
}

void CommThread::run() {
  // The kernel may round sleeps up by this much; its default of 50 us is more than our shortest sleep.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  Clock::time_point last_progress = Clock::now();
  while (await_work()) {
    bool progress = false;
    if (const std::unique_lock engine(engine_, std::try_to_lock); engine) {
      run_calls();
      progress = advance();
    } else {
      std::this_thread::yield();
      continue;
    }
    if (progress) {
      last_progress = Clock::now();
      sleep_ = policy_.shortest_sleep;
    } else {
      pause(last_progress);
    }
  }
}

// False when it is time to stop.
bool CommThread::await_work() {
  std::unique_lock lock(mutex_);
  const auto work = [this] {
    return stop_ || !calls_.empty() || (!driven_ && (!submitted_.empty() || !active_.empty()));
  };
  // Beside this a waiter may be stuck inside the MPI library, where nobody else could end its wait.
  for (milliseconds silence{0}; !work();) {
    const std::uint64_t beat = beat_;
    if (wake_.wait_for(lock, kBetweenBeats) != std::cv_status::timeout) continue;
    silence = driven_ && beat_ == beat ? silence + kBetweenBeats : milliseconds{0};
    if (silence < timeout() + kGrace) continue;
    std::fputs("weft: the MPI library does not come back from a call\n", stderr);
    std::_Exit(static_cast<int>(ExitCode::system));
  }
  return !stop_ || !calls_.empty();
}

void CommThread::run_calls() {
  std::unique_lock lock(mutex_);
  while (!calls_.empty()) {
    const std::function<void()> work = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

// Everything that can be done without waiting. Whether anything moved.
bool CommThread::advance() {
  ++beat_;
  allow_for_pauses();
  {
    const std::lock_guard lock(mutex_);
    for (auto& operation : submitted_) active_.push_back(std::move(operation));
    submitted_.clear();
  }
  if (advance_all()) return true;
  check_deadlines();
  listen();
  return false;
}

bool CommThread::advance_all() {
  bool progress = false;
  for (std::size_t i = 0; i < active_.size();) {
    const std::shared_ptr<Operation> operation = active_[i];
    if (broken_) {
      fail_all(nullptr, nullptr);
      return true;
    }
    try {
      const Schedule::Progress result = operation->schedule.advance();
      progress = progress || result != Schedule::Progress::none;
      if (result == Schedule::Progress::finished) {
        {
          const std::lock_guard lock(mutex_);
          active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
        }
        finish(*operation, nullptr);
        continue;
      }
    } catch (const SystemError& error) {
      const std::string message = fmt::format("{}:\n  {}{}", describe(operation->label), error.what(), compared());
      fail_all(operation, std::make_exception_ptr(SystemError(message)));
      return true;
    } catch (...) {
      fail_all(operation, std::current_exception());
      return true;
    }
    ++i;
  }
  return progress;
}

void CommThread::allow_for_pauses() {
  const auto now = Clock::now();
  if (now - looked_ > kPause) {
    const std::lock_guard lock(mutex_);
    for (const auto& operation : active_)
      if (operation->deadline) *operation->deadline += now - looked_;
  }
  looked_ = now;
}

void CommThread::listen() {
  const auto now = Clock::now();
  if (!notices_ || active_.empty() || now - listened_ < kBetweenListening) return;
  listened_ = now;
  if (const auto told = notices_->heard()) fail_all(nullptr, std::make_exception_ptr(SystemError(*told)));
}

void CommThread::check_deadlines() {
  std::shared_ptr<Operation> expired;
  {
    const std::lock_guard lock(mutex_);
    if (waiters_ == 0) return;
    const auto now = Clock::now();
    for (const auto& operation : active_)
      if (operation->deadline && *operation->deadline < now) expired = operation;
  }
  if (expired) fail_all(expired, late(*expired));
}

std::exception_ptr CommThread::late(const Operation& operation) const {
  std::vector<int> missing;
  for (const int r : operation.schedule.pending_peers())
    missing.push_back(operation.world_ranks[static_cast<std::size_t>(r)]);
  std::string message =
      fmt::format("{} did not finish within {:.1f} s: still waiting for rank{} {}", describe(operation.label),
                  std::chrono::duration<double>(operation.patience).count(), missing.size() == 1 ? "" : "s",
                  fmt::join(missing, ", "));
  std::function<std::string(int)> describe_peer;
  {
    const std::lock_guard lock(mutex_);
    describe_peer = describe_peer_;
  }
  if (describe_peer)
    for (const int r : missing) message += fmt::format("\n  rank {}: {}", r, describe_peer(r));
  message +=
      fmt::format("\n  it is #{} of group '{}': {}{}{}", operation.signature.sequence, operation.group_name,
                  operation.signature.str(), operation.label.place.empty() ? "" : ", at ", operation.label.place);
  message += compared();
  return std::make_exception_ptr(SystemError(message));
}

std::string CommThread::compared() const {
  std::function<std::string()> compare_flights;
  {
    const std::lock_guard lock(mutex_);
    compare_flights = compare_flights_;
  }
  const std::string difference = compare_flights ? compare_flights() : "";
  return difference.empty() ? "" : "\n  the ranks' last operations: " + difference;
}

void CommThread::finish(Operation& operation, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    operation.log->end(operation.number, error != nullptr);
    operation.times.finished = Clock::now();
    operation.error = std::move(error);
    operation.finished.store(true, std::memory_order_release);
  }
  finished_.notify_all();
}

// After a failure no message of this process can be trusted to match, so everything in flight fails with it.
void CommThread::fail_all(const std::shared_ptr<Operation>& culprit, std::exception_ptr error) {
  std::vector<std::shared_ptr<Operation>> abandoned;
  {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    if (error && broken_by_.empty()) {
      try {
        std::rethrow_exception(error);
      } catch (const std::exception& e) {
        broken_by_ = e.what();
      } catch (...) {
        broken_by_ = "unknown failure";
      }
    }
    abandoned.swap(active_);
    for (auto& operation : submitted_) abandoned.push_back(std::move(operation));
    submitted_.clear();
  }
  abandoned_.insert(abandoned_.end(), abandoned.begin(), abandoned.end());
  if (culprit && notices_ && !quiet_) notices_->tell(broken_by_);
  for (const auto& operation : abandoned)
    finish(*operation, operation == culprit ? error
                                            : std::make_exception_ptr(SystemError(fmt::format(
                                                  "{} was given up:\n  {}", describe(operation->label), broken_by_))));
}

void CommThread::pause(Clock::time_point& last_progress) {
  std::unique_lock lock(mutex_);
  if (!calls_.empty() || !submitted_.empty() || stop_ || driven_ || active_.empty()) return;
  const auto quiet = Clock::now() - last_progress;
  if (quiet < (waiters_ > 0 ? policy_.spin_waited : policy_.spin)) {
    lock.unlock();
    std::this_thread::yield();
    return;
  }
  const int waiters = waiters_;
  wake_.wait_for(lock, sleep_, [&] { return stop_ || !calls_.empty() || !submitted_.empty() || waiters_ > waiters; });
  sleep_ = std::min<Clock::duration>(2 * sleep_, policy_.longest_sleep);
  if (waiters_ > waiters) {
    last_progress = Clock::now();
    sleep_ = policy_.shortest_sleep;
  }
}

}  // namespace weft
