// TerminationWatch: where a rank dies, the launcher sends its peers SIGTERM, and SIGKILL a second later. In between one
// of them can still say in exit.json who was the first to go; the training thread cannot, for it waits for the dead.
#pragma once

#include <atomic>
#include <filesystem>
#include <thread>

#include "src/faults/stop_signals.hpp"

namespace weft {

class TerminationWatch {
 public:
  /// Until destroyed. `signals` must live longer. `run_folder`/exit.json is written when SIGTERM has come, the records
  /// name a rank that failed or vanished, and nobody has written one.
  TerminationWatch(StopSignals& signals, std::filesystem::path run_folder);
  ~TerminationWatch();
  TerminationWatch(const TerminationWatch&) = delete;
  TerminationWatch& operator=(const TerminationWatch&) = delete;

 private:
  void run() const;

  StopSignals& signals_;
  std::filesystem::path run_folder_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace weft
