// Reporter: what rank 0 tells the world during a run: log.jsonl, TensorBoard events, progress.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "src/run/event_writer.hpp"
#include "src/run/log_writer.hpp"
#include "src/run/progress.hpp"
#include "src/run/run_folder.hpp"

namespace weft {

/// What one step made known.
struct StepNumbers {
  std::int64_t step = 0;
  double epoch = 0;  ///< epochs done after this step, fractions included
  double loss = 0, lr = 0;
  bool skipped = false;      ///< a gradient overflowed: no parameter has changed
  double seconds = 0;        ///< of this step, wall time
  std::int64_t samples = 0;  ///< of this step, all ranks
  /// Seconds of this step in which this rank had collectives in flight, and stood still for them; absent alone.
  std::optional<double> communication, exposed;
  double busy = 0;  ///< seconds of this rank's own work, input included
  std::vector<std::pair<std::string, double>> metrics;
};

struct ReporterOptions {
  std::int64_t first_step = 0;  ///< steps done before
  std::int64_t total_steps = 0;
  double total_epochs = 0;     ///< 0: the job counts steps
  std::int64_t log_every = 1;  ///< steps between log lines
};

class Reporter {
 public:
  Reporter(FileSystem& files, const RunFolder& folder, std::ostream* progress, ReporterOptions options);

  void step(const StepNumbers& numbers);
  /// Logged once a step: a run that is started again when it is complete evaluates its weights again.
  void evaluation(std::int64_t step, double epoch, const std::vector<std::pair<std::string, double>>& totals);
  std::int64_t last_evaluated() const { return log_.last_evaluated(); }
  void note(const std::string& text);
  void finish();

 private:
  ReporterOptions options_;
  LogWriter log_;
  EventWriter events_;
  std::unique_ptr<Progress> progress_;
  double seconds_ = 0;                      ///< since the last log line
  double communication_ = 0, exposed_ = 0;  ///< seconds, likewise
  std::int64_t samples_ = 0, steps_ = 0;
};

}  // namespace weft
