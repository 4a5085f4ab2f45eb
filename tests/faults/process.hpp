// Process: a program that runs beside the test, with its output kept and with an end in any case.
//
// Everything that it starts (mpirun's ranks too) inherits a mark in its environment, by which whoever is left is found,
// and killed when the Process goes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace weft::testing {

struct Ended {
  int code = -1;           ///< exit code, or 128 + signal
  bool timed_out = false;  ///< it was killed: it had not ended in time
  double seconds = 0;      ///< since its start
  std::string out, err;
  std::string str() const;  ///< for messages of assertions
};

class Process {
 public:
  /// No shell is involved. `folder` is where it runs; "NAME=value" entries are added to this process's environment.
  Process(std::vector<std::string> command, const std::filesystem::path& folder,
          const std::vector<std::string>& environment = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  bool running();
  /// Waits for the end; kills the process and its own when that takes longer. Once.
  Ended wait(double seconds);
  /// What it wrote so far.
  std::string err() const;
  /// Processes that it started, itself included, and that still run.
  std::vector<pid_t> left() const;
  /// Whether all of them are gone within `seconds`.
  bool gone_within(double seconds) const;

 private:
  void kill_all() const;

  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string mark_;
  std::filesystem::path out_, err_;
  std::chrono::steady_clock::time_point start_;
};

/// Starts, waits, and asks that nothing is left behind.
Ended run(const std::vector<std::string>& command, const std::filesystem::path& folder, double seconds,
          const std::vector<std::string>& environment = {});

}  // namespace weft::testing
