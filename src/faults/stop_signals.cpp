// A handler can reach nothing but variables of this file: the only global state, owned by the one StopSignals alive.
#include "src/faults/stop_signals.hpp"

#include <semaphore.h>
#include <time.h>

#include <atomic>
#include <cerrno>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr int kStopSignals[] = {SIGUSR1, SIGUSR2, SIGINT, SIGTERM};

std::atomic<bool> taken{false};
std::atomic<bool> graceful{false};
std::atomic<int> interrupts{0};
std::atomic<std::int64_t> terminated_at{0};  // nanoseconds of the monotonic clock; 0: not
std::atomic<LastOperationFile*> record_of_this_rank{nullptr};
sem_t termination;  // posted by the first SIGTERM: a semaphore is what a handler may wake a thread with

static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<LastOperationFile*>::is_always_lock_free);

std::int64_t monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void on_signal(int signal) {
  const int saved_errno = errno;
  if (signal == SIGTERM) {
    std::int64_t never = 0;
    if (terminated_at.compare_exchange_strong(never, monotonic_now())) sem_post(&termination);
    if (LastOperationFile* record = record_of_this_rank.load()) record->note_terminate(signal);
  } else {
    graceful = true;
  }
  if (signal == SIGINT && ++interrupts > 1) {
    if (LastOperationFile* record = record_of_this_rank.load()) record->note_terminate(signal);
    ::signal(SIGINT, SIG_DFL);
    raise(SIGINT);  // delivered when this handler returns
  }
  errno = saved_errno;
}

}  // namespace

StopSignals::StopSignals(LastOperationFile* record) {
  check_internal(!taken.exchange(true), "two StopSignals at a time");
  graceful = false;
  interrupts = 0;
  terminated_at = 0;
  record_of_this_rank = record;
  sem_init(&termination, 0, 0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(kStopSignals); ++i) sigaction(kStopSignals[i], &action, &previous_[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < std::size(kStopSignals); ++i) sigaction(kStopSignals[i], &previous_[i], nullptr);
  record_of_this_rank = nullptr;
  sem_destroy(&termination);
  taken = false;
}

void StopSignals::mark_in(LastOperationFile* record) {
  record_of_this_rank = record;
  if (record != nullptr && terminated_at != 0) record->note_terminate(SIGTERM);
}

StopKind StopSignals::kind() const {
  if (terminated_at != 0) return StopKind::terminate;
  return graceful ? StopKind::graceful : StopKind::none;
}

std::optional<std::chrono::nanoseconds> StopSignals::since_terminate() const {
  if (terminated_at == 0) return std::nullopt;
  return std::chrono::nanoseconds(monotonic_now() - terminated_at);
}

void StopSignals::wait_for_terminate() {
  while (sem_wait(&termination) != 0 && errno == EINTR) {
  }
}

void StopSignals::wake() { sem_post(&termination); }

}  // namespace weft
