// A thread that sleeps until SIGTERM, then looks now and then at what the other ranks left.
//
// What is known of a rank on this host is known for certain. One on another host that has no mark of SIGTERM although
// all were told is most likely dead, but its mark may just be late: such a verdict is looked at again, and corrected.
#include "src/faults/termination_watch.hpp"

#include <time.h>

#include <algorithm>
#include <exception>

#include "src/faults/rank_records.hpp"

namespace weft {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// The first looks come quickly: mpirun's patience is a second. Later ones spare the file system.
constexpr milliseconds kFirstPause{20}, kLongestPause{500};

bool is_failure(const std::optional<ExitReport>& report) {
  return report && report->reason != ExitReason::completed && report->reason != ExitReason::stopped_signal &&
         report->reason != ExitReason::stopped_time;
}

}  // namespace

TerminationWatch::TerminationWatch(StopSignals& signals, std::filesystem::path run_folder, int rank,
                                   const LastOperationFile& mine, Leave leave, Patience patience)
    : signals_(signals),
      run_folder_(std::move(run_folder)),
      rank_(rank),
      mine_(mine),
      leave_(std::move(leave)),
      patience_(patience),
      thread_([this] { run(); }) {}

TerminationWatch::~TerminationWatch() {
  over_ = true;
  signals_.wake();
  thread_.join();
}

void TerminationWatch::run() {
  signals_.wait_for_terminate();
  if (over_) return;
  mine_.flush();
  const auto came = std::chrono::steady_clock::now();
  for (milliseconds pause = kFirstPause; !over_; pause = std::min(pause * 3 / 2, kLongestPause)) {
    const auto since = duration_cast<milliseconds>(std::chrono::steady_clock::now() - came);
    if (since > patience_.look_for) return;
    try {
      if (const auto verdict = look(since); verdict && leave_) {
        const milliseconds enough = verdict->certain ? patience_.certain : patience_.likely;
        if (since >= enough && in_one_operation() >= enough) return leave_(verdict->report);
      }
    } catch (const std::exception&) {
      // The records stay, and the next start reads them.
    }
    std::this_thread::sleep_for(pause);
  }
}

std::optional<TerminationWatch::Verdict> TerminationWatch::look(milliseconds since_signal) {
  const std::filesystem::path exit = run_folder_ / "exit.json";
  if (!written_ && std::filesystem::exists(exit)) {
    const auto theirs = read_exit_json(exit);
    if (!is_failure(theirs)) return std::nullopt;
    return Verdict{*theirs, false};
  }
  auto report = compose_exit_report(run_folder_);
  const bool certain = is_failure(report);
  if (!certain && since_signal >= patience_.marks)
    report = compose_exit_report(run_folder_, {false, untold_elsewhere(run_folder_)});
  if (!is_failure(report)) {
    if (written_) std::filesystem::remove(exit);
    written_.reset();
    return std::nullopt;
  }
  if (written_ != report) write_exit_json(exit, *report);
  written_ = report;
  return Verdict{*report, certain};
}

milliseconds TerminationWatch::in_one_operation() const {
  const auto record = read_last_operation(rank_record_path(run_folder_, rank_));
  if (!record || record->ended()) return milliseconds{0};
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - record->monotonic;
  return duration_cast<milliseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace weft
