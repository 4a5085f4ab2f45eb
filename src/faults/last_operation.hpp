// LastOperationFile: what a rank is doing now, in a small memory-mapped file that outlives it, even after SIGKILL.
//
// runs/NAME/ranks/R, one page. Entering an operation is a copy into one of two slots, marked valid by its last store,
// so that a kill in the middle leaves the slot before; no system call is made. Signal handlers write to words of their
// own. The page reaches other processes of the node at once; other nodes see it when the file system writes it back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace weft {

enum class RankState : std::uint32_t {
  running,    ///< computing
  waiting,    ///< for a peer
  saving,     ///< writing a checkpoint
  completed,  ///< all steps done
  stopped,    ///< early, on purpose; the reason says why
  failed      ///< threw; the reason and the message say what
};

enum class ExitReason : std::uint32_t {
  completed,
  stopped_signal,
  stopped_time,
  user_error,
  system_error,
  internal_error,
  killed,
  lost_peer
};

std::string_view name_of(RankState state);
std::string_view name_of(ExitReason reason);

/// The file's content; see the .cpp for the order of stores. All integers little-endian, as the machine has them.
struct RankRecord {
  static constexpr std::uint64_t kMagic = 0x314b4e4152544657u;  // "WFTRANK1"
  static constexpr std::uint32_t kVersion = 1;

  struct Slot {
    std::uint64_t begin;  ///< written first; equal to `end` when the slot is whole
    std::int64_t step;
    std::int32_t instruction;
    std::uint32_t state;
    double monotonic;  ///< seconds since the machine started
    double wall;       ///< seconds since 1970
    char operation[128];
    std::uint64_t end;
  };

  std::uint64_t magic;  ///< written last of the head
  std::uint32_t version;
  std::int32_t rank, ranks;
  std::int32_t pid;
  std::uint64_t process_start;  ///< clock ticks after boot, from /proc: tells a reused pid
  std::uint64_t run;            ///< equal on all ranks of one start
  char host[64];
  Slot slots[2];
  // Written by signal handlers.
  std::int32_t terminate_signal;
  std::int32_t crash_signal;
  // Written once at the end.
  std::uint32_t finished;  ///< 1: the following hold
  std::uint32_t reason;
  char message[2048];
};
static_assert(sizeof(RankRecord) <= 4096);

class LastOperationFile {
 public:
  /// Makes `run_folder`/ranks/`rank` anew: a record of an earlier start, or a process still holding it, is left
  /// behind. `run` is any number that all ranks of this start share and that grows from start to start (rank 0's
  /// wall-clock nanoseconds, broadcast). Throws SystemError.
  LastOperationFile(const std::filesystem::path& run_folder, int rank, int ranks, std::uint64_t run);
  LastOperationFile(const LastOperationFile&) = delete;
  LastOperationFile& operator=(const LastOperationFile&) = delete;

  /// Called for every instruction, by one thread. Longer names are cut.
  void enter(std::int64_t step, int instruction, std::string_view operation,
             RankState state = RankState::running) noexcept;
  /// The last word: completed, stopped or failed. The operation stays what it was.
  void finish(RankState state, ExitReason reason, std::string_view message) noexcept;

  /// Async-signal-safe.
  void note_terminate(int signal) noexcept;
  void note_crash(int signal) noexcept;

  /// Hands the page to the file system, so that other nodes see it now. From any thread.
  void flush() const noexcept;

 private:
  std::shared_ptr<std::byte> memory_;
  RankRecord* record_;
  std::uint64_t sequence_ = 0;
};

}  // namespace weft
