// Calibration files: measured costs as JSON, merged run by run, and looked up by how a node is filled.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "weft/site.hpp"

namespace weft {

std::string calibration_to_json(const CalibrationSet& set);
/// Throws UserError, naming `source` and the part, when it is not what calibration_to_json writes: every number finite
/// and not negative, curves ascending, sizes bounded.
CalibrationSet parse_calibration(std::string_view json, std::string_view source);

/// Puts `entry` in the place of the one with equal ranks and threads. Kernels measured earlier on an equal target, and
/// not now, stay.
void merge_calibration(CalibrationSet& set, Calibration entry);

/// The costs of `ranks` ranks a node with `threads` threads each.
struct PlacementCosts {
  Calibration costs;
  bool measured = true;  ///< false: scaled from the nearest placement that was
  std::string note;      ///< then: "scaled from 1 rank of 4 threads"; "" when measured
  /// How much faster (at most 1) and slower (at least 1) than priced a scaled step may be.
  double fastest = 1, slowest = 1;
};
/// Scaled costs take rates as proportional to a rank's threads, and drop exact kernel times where the threads differ.
/// Proportional is the best that more threads can do, and the worst that fewer can: the other end is a rank that is as
/// fast as the measured one. Nor may more cores at work have more memory bandwidth between them, or fewer less. Nothing
/// when `set` has no entries, or none for this device: entries of another target than `target` ("" for any) do not
/// count, whatever their thread count.
std::optional<PlacementCosts> placement_costs(const CalibrationSet& set, int ranks, int threads,
                                              std::string_view target = "");

}  // namespace weft
