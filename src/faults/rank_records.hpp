// Reading of rank records: tolerant of files that are missing, short, foreign, torn or half written.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/faults/last_operation.hpp"

namespace weft {

/// A record, checked: strings end, enumerators exist.
struct LastOperation {
  int rank = 0, ranks = 1;
  pid_t pid = 0;
  std::uint64_t process_start = 0;
  std::uint64_t run = 0;
  std::string host;
  std::int64_t step = 0;
  int instruction = -1;
  std::string operation;
  RankState state = RankState::running;
  double monotonic = 0, wall = 0;  ///< when it was entered
  int terminate_signal = 0;        ///< 0: none arrived
  int crash_signal = 0;
  bool finished = false;  ///< the two below hold
  ExitReason reason = ExitReason::completed;
  std::string message;

  bool ended() const { return finished || crash_signal != 0; }
};

std::filesystem::path rank_record_path(const std::filesystem::path& run_folder, int rank);
/// Absent when there is no sound record.
std::optional<LastOperation> read_last_operation(const std::filesystem::path& file);

struct RankRecords {
  std::vector<LastOperation> found;  ///< of the newest start, by rank
  std::vector<int> unreadable;       ///< ranks of that start with no file or an unsound one
};
/// Everything in `run_folder`/ranks. Records of earlier starts are left out.
RankRecords read_rank_records(const std::filesystem::path& run_folder);

enum class Alive { yes, no, unknown };
/// Whether the process of a record still runs: known on its own host only.
Alive is_alive(const LastOperation& record);

/// "running 'conv1' at step 17 (host n2), since 31.2 s": what a late peer was last seen doing; for
/// MpiRuntime::set_describe_peer.
std::string describe_rank(const std::filesystem::path& run_folder, int rank);

std::string this_host();
/// 0 when there is no such process.
std::uint64_t process_start_ticks(pid_t pid);

}  // namespace weft
