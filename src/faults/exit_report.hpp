// The exit report: why a run ended, in exit.json, composed by whoever comes next: a surviving rank, the next start, or
// `weft inspect`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/faults/last_operation.hpp"

namespace weft {

struct ExitReport {
  ExitReason reason = ExitReason::completed;
  int rank = -1;  ///< where it began; -1: all, or unknown
  std::int64_t step = 0;
  std::string operation;
  std::string message;  ///< for people: "rank 3 (host n2) was killed by signal 9 at step 118 in 'all-reduce bucket 2'"

  bool operator==(const ExitReport&) const = default;
};

struct ComposeOptions {
  /// All processes are known to be gone (the next start, or an inspection later): a rank of another host that left no
  /// last word was killed.
  bool job_is_over = false;
  /// Ranks that are taken for dead where it cannot be looked up; see untold_elsewhere.
  std::vector<int> missing_ranks;
  /// Only of a start at this time or later (nanoseconds since 1970).
  std::uint64_t since = 0;
};

/// From the rank records of the newest start. Absent when there are none, or when ranks still run and none failed.
///
/// The cause is, in this order: the earliest rank that failed on its own or crashed; a rank that vanished without a
/// word (SIGKILL, out of memory); a rank that left no sound record while others wait for it; a termination of all by
/// SIGTERM; a lost peer that nobody can name; else stopped, else completed.
std::optional<ExitReport> compose_exit_report(const std::filesystem::path& run_folder,
                                              const ComposeOptions& options = {});

/// Ranks of other hosts that have no last word and were not told to go (SIGTERM), as far as their records show. When
/// the whole job was told a moment ago, these are the dead.
std::vector<int> untold_elsewhere(const std::filesystem::path& run_folder);

/// Written aside, flushed and renamed. Throws SystemError.
void write_exit_json(const std::filesystem::path& file, const ExitReport& report);
/// Absent when there is no file or it is not one of ours.
std::optional<ExitReport> read_exit_json(const std::filesystem::path& file);

}  // namespace weft
