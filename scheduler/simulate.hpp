// Simulator: prices a Program instruction by instruction and walks its lanes, to say how long one execution takes.
//
// Compute runs in order; collectives run in order beside it and are paid for where a wait finds them unfinished. Cores
// that drive a collective are taken from compute (Calibration::overlap_cost). A pure function: no clock, no device.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "scheduler/calibration.hpp"
#include "scheduler/cost_model.hpp"
#include "weft/mesh.hpp"
#include "weft/program.hpp"
#include "weft/site.hpp"

namespace weft {

/// How the ranks of a run are arranged.
struct RunShape {
  Mesh mesh;
  int nodes = 1;
};

struct InstructionTime {
  int instruction = 0;
  Lane lane = Lane::compute;
  double start = 0, seconds = 0;  ///< a wait's seconds are what was left to wait for
  PriceSource source = PriceSource::exact;
};

/// Seconds of the compute lane by what they were spent on.
struct TimeShare {
  std::string what;  ///< a rate class ("onednn.convolution f32"), "all-reduce (exposed)", "copy"
  double seconds = 0;
};

struct Prediction {
  double seconds = 0;                ///< of one execution
  double low = 0, high = 0;          ///< when all prices are at the same end of their intervals
  bool calibrated = false;           ///< false: from the oracle's estimates only
  std::string scaled;                ///< "scaled from 1 rank of 4 threads": from costs of another placement; "": not
  double measured_share = 0;         ///< of `seconds`: kernels and collectives that were measured exactly
  double estimated_share = 0;        ///< of `seconds`: prices nobody measured anything for
  double communication_seconds = 0;  ///< of the communication lane
  double exposed_seconds = 0;        ///< of it, what compute waited for
  std::int64_t arena_bytes = 0, resident_bytes = 0;
  std::vector<TimeShare> shares;  ///< descending
  std::vector<InstructionTime> timeline;

  std::int64_t memory_bytes() const { return arena_bytes + resident_bytes; }
};

/// `costs` null: uncalibrated. The timeline is that of the middle prices.
Prediction simulate(const Program& program, const Calibration* costs, const RunShape& shape);

/// Several executions one after another, as the passes of an optimiser step: times add up, memory is the largest arena
/// and the states of all, which they share.
Prediction simulate_sequence(std::span<const Program* const> programs, const Calibration* costs, const RunShape& shape);

/// The same with the costs of a placement, null: uncalibrated. The interval of scaled costs is as wide as scaling may
/// be wrong.
Prediction simulate_placed(std::span<const Program* const> programs, const PlacementCosts* placement,
                           const RunShape& shape);

}  // namespace weft
