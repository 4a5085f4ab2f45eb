// Planner: which way of filling a node to recommend for a job, by simulating the very Programs that would run.
//
// It compares step times at equal global batch, so that the job means the same under all of them. More cores are
// recommended only where the predicted gain is larger than what the predictions may be off. Arrangements that nobody
// measured are ranked among the others as estimates, and recommended before a measured one only where their whole
// interval is faster than its.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/calibration.hpp"
#include "scheduler/simulate.hpp"
#include "weft/plan.hpp"
#include "weft/site.hpp"

namespace weft {

/// How many ranks, on how many nodes, of how many threads.
struct Arrangement {
  int nodes = 1;
  int ranks_per_node = 1;
  int threads = 1;
  int ranks() const { return nodes * ranks_per_node; }
  int cores() const { return ranks() * threads; }
  std::string str() const;  ///< "2 x 4", "3 nodes of 2 x 4"
  bool operator==(const Arrangement&) const = default;
};

/// One optimiser step of a job under an arrangement.
struct BuiltStep {
  Plan plan;
  std::string target;             ///< Target::str() of the devices it was built for
  std::vector<Program> programs;  ///< one for each kind of pass
  std::vector<int> passes;        ///< indices into `programs`, in order of execution
  double checkpoint_bytes = 0;    ///< of the states that outlive a step
};

/// Throws UserError with the reason where the job cannot run so.
using BuildStep = std::function<BuiltStep(const Arrangement&)>;

struct Alternative {
  Arrangement arrangement;
  std::string excluded;  ///< why it cannot be; the rest holds only when empty
  Plan plan;
  Prediction prediction;
  double checkpoint_bytes = 0;
  std::string note;  ///< why it is only an estimate: where its costs come from; "" when its costs were measured
  bool is_estimate() const { return !note.empty(); }  ///< nothing ran so when costs were measured
  bool recommended = false;
  std::string verdict;  ///< against the recommended one: "14 % slower", "6 % faster: within the noise"
};

struct PlanReport {
  std::vector<Alternative> alternatives;   ///< possible ones by step time, then the excluded ones by cores
  const Alternative* recommended() const;  ///< nullptr when all are excluded
};

/// What one rank needs beside its Program: code, libraries, MPI's buffers, batches read ahead.
inline constexpr std::int64_t kProcessBytes = 200LL << 20;

/// The arrangements worth a look on `nodes` nodes of the site: powers of two and the whole node in ranks and threads,
/// as many cores as there are at most; `ranks_per_node` and `threads` fix those where given.
std::vector<Arrangement> arrangements(const Site& site, int nodes, std::optional<int> ranks_per_node,
                                      std::optional<int> threads);

/// Builds and simulates each. `costs` without entries: uncalibrated, from the oracle's estimates. Excluded are
/// arrangements that the site's node does not hold (cores, memory of all its ranks) and that `build` refuses.
PlanReport plan_arrangements(const std::vector<Arrangement>& candidates, const Site& site, const CalibrationSet& costs,
                             const BuildStep& build);

}  // namespace weft
