// Writing of rank records.
//
// A slot: `begin` is set to a new number, the fields are written, `end` is set to the same number. A reader takes the
// slot with the highest number among those where both agree.
#include "src/faults/last_operation.hpp"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "src/faults/mapped_file.hpp"
#include "src/faults/rank_records.hpp"

namespace weft {
namespace {

constexpr std::size_t kFileBytes = 4096;

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);  // no system call: the kernel maps it into the process
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  const std::size_t n = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

template <class T>
void store(T& field, T value, std::memory_order order) {
  std::atomic_ref<T>(field).store(value, order);
}

}  // namespace

std::string_view name_of(RankState state) {
  constexpr std::string_view kNames[] = {"running", "waiting", "saving", "completed", "stopped", "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view name_of(ExitReason reason) {
  constexpr std::string_view kNames[] = {"completed",    "stopped_signal", "stopped_time", "user_error",
                                         "system_error", "internal_error", "killed",       "lost_peer"};
  return kNames[static_cast<std::size_t>(reason)];
}

LastOperationFile::LastOperationFile(const std::filesystem::path& run_folder, int rank, int ranks, std::uint64_t run) {
  memory_ = map_new_file(rank_record_path(run_folder, rank), kFileBytes);
  record_ = reinterpret_cast<RankRecord*>(memory_.get());
  record_->version = RankRecord::kVersion;
  record_->rank = rank;
  record_->ranks = ranks;
  record_->pid = getpid();
  record_->process_start = process_start_ticks(getpid());
  record_->run = run;
  copy_text(record_->host, this_host());
  enter(0, -1, "start");
  store(record_->magic, RankRecord::kMagic, std::memory_order_release);
}

void LastOperationFile::enter(std::int64_t step, int instruction, std::string_view operation,
                              RankState state) noexcept {
  RankRecord::Slot& slot = record_->slots[++sequence_ % 2];
  store(slot.begin, sequence_, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  slot.step = step;
  slot.instruction = instruction;
  slot.state = static_cast<std::uint32_t>(state);
  slot.monotonic = seconds(CLOCK_MONOTONIC);
  slot.wall = seconds(CLOCK_REALTIME);
  copy_text(slot.operation, operation);
  store(slot.end, sequence_, std::memory_order_release);
}

void LastOperationFile::finish(RankState state, ExitReason reason, std::string_view message) noexcept {
  const RankRecord::Slot& now = record_->slots[sequence_ % 2];
  char operation[sizeof now.operation];
  std::memcpy(operation, now.operation, sizeof operation);
  record_->reason = static_cast<std::uint32_t>(reason);
  copy_text(record_->message, message);
  enter(now.step, now.instruction, operation, state);
  store(record_->finished, 1u, std::memory_order_release);
}

void LastOperationFile::note_terminate(int signal) noexcept {
  store(record_->terminate_signal, signal, std::memory_order_release);
}

void LastOperationFile::note_crash(int signal) noexcept {
  store(record_->crash_signal, signal, std::memory_order_release);
}

void LastOperationFile::flush() const noexcept { msync(record_, kFileBytes, MS_SYNC); }

}  // namespace weft
