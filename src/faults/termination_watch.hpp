// TerminationWatch: where a rank dies, the launcher sends its peers SIGTERM, and SIGKILL later: mpirun after a second,
// Slurm after half a minute. In between one of them can still say in exit.json who was the first to go, and need not
// wait to be killed; the training thread can do neither, for it waits for the dead.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "src/faults/exit_report.hpp"
#include "src/faults/last_operation.hpp"
#include "src/faults/stop_signals.hpp"

namespace weft {

class TerminationWatch {
 public:
  struct Patience {
    /// After SIGTERM, until a rank of another host without a mark of it counts as dead. Marks are flushed at once.
    std::chrono::milliseconds marks{600};
    /// How long this rank must have been in one operation, and SIGTERM ago, before it leaves: where the system says
    /// that a peer is gone, and where only the records do.
    std::chrono::milliseconds certain{3000}, likely{10'000};
    std::chrono::milliseconds look_for{20'000};
  };
  /// Called on the watch's thread; does not return when it ends the process.
  using Leave = std::function<void(const ExitReport&)>;

  /// Until destroyed. `signals` and `mine`, this rank's record, must live longer. `run_folder`/exit.json is written
  /// when SIGTERM has come, the records name a rank that failed or vanished, and nobody else has written one. A rank
  /// that then stays where it is calls `leave`, if given, once.
  TerminationWatch(StopSignals& signals, std::filesystem::path run_folder, int rank, const LastOperationFile& mine,
                   Leave leave, Patience patience);
  ~TerminationWatch();
  TerminationWatch(const TerminationWatch&) = delete;
  TerminationWatch& operator=(const TerminationWatch&) = delete;

 private:
  struct Verdict {
    ExitReport report;
    bool certain = false;
  };
  void run();
  /// The cause as it is known now, written where it is news. Nothing while nobody failed or vanished.
  std::optional<Verdict> look(std::chrono::milliseconds since_signal);
  std::chrono::milliseconds in_one_operation() const;

  StopSignals& signals_;
  const std::filesystem::path run_folder_;
  const int rank_;
  const LastOperationFile& mine_;
  const Leave leave_;
  const Patience patience_;
  std::optional<ExitReport> written_;  ///< exit.json, when it is this watch's
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace weft
