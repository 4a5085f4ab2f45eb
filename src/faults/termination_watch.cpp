// A thread that sleeps until SIGTERM, then looks a few times at what the other ranks left.
#include "src/faults/termination_watch.hpp"

#include <exception>

#include "src/faults/exit_report.hpp"

namespace weft {
namespace {

// A run that is told to go as a whole ends or saves meanwhile; a launcher's patience is mostly shorter.
constexpr std::chrono::seconds kLookFor{5};
constexpr std::chrono::milliseconds kBetweenLooks{20};

bool is_failure(const ExitReport& report) {
  return report.reason != ExitReason::completed && report.reason != ExitReason::stopped_signal &&
         report.reason != ExitReason::stopped_time;
}

}  // namespace

TerminationWatch::TerminationWatch(StopSignals& signals, std::filesystem::path run_folder)
    : signals_(signals), run_folder_(std::move(run_folder)), thread_([this] { run(); }) {}

TerminationWatch::~TerminationWatch() {
  over_ = true;
  signals_.wake();
  thread_.join();
}

void TerminationWatch::run() const {
  signals_.wait_for_terminate();
  const std::filesystem::path exit = run_folder_ / "exit.json";
  const auto until = std::chrono::steady_clock::now() + kLookFor;
  for (; !over_ && std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(kBetweenLooks)) {
    try {
      if (std::filesystem::exists(exit)) return;
      const auto report = compose_exit_report(run_folder_);
      if (!report || !is_failure(*report)) continue;
      write_exit_json(exit, *report);
      return;
    } catch (const std::exception&) {
      // The records stay, and the next start reads them.
    }
  }
}

}  // namespace weft
