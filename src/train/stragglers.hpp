// Stragglers: a rank whose steps take longer than the others' makes all of them wait, and no error says so.
//
// What a rank's own work took (a step but for its waits for others) is summed up over a few steps and exchanged in the
// background. A rank that is slower than the median again and again is named.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "weft/communicator.hpp"

namespace weft {

struct Straggler {
  int rank = 0;
  double seconds = 0, median = 0;  ///< of its own work in a step, and the median rank's
};

/// Judges samples, one after the other.
class StragglerJudge {
 public:
  static constexpr int kSamples = 3;         ///< so many in a row make a straggler
  static constexpr double kSlower = 1.15;    ///< than the median, at least
  static constexpr double kSeconds = 0.001;  ///< and by so much a step

  /// Seconds a step by rank. The slowest rank that has just become a straggler; each rank is named once, and again when
  /// it was as fast as the others meanwhile.
  std::optional<Straggler> judge(std::span<const double> seconds);

 private:
  std::vector<int> slow_;  ///< samples in a row, by rank
};

class StragglerWatch {
 public:
  static constexpr int kStepsOfASample = 10;

  explicit StragglerWatch(Communicator& world) : world_(world) {}
  /// Collective: after every step, with what it took of this rank's own work. The same on all ranks.
  std::optional<Straggler> step(double busy_seconds);

 private:
  Communicator& world_;
  StragglerJudge judge_;
  double mine_ = 0;
  int steps_ = 0;
  double sent_ = 0;
  std::vector<double> all_;
  std::unique_ptr<Request> request_;  ///< goes first: it writes to the two above
};

}  // namespace weft
