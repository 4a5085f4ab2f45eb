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
};
/// Scaled costs take rates as proportional to a rank's threads, which is the best that can be hoped for, and drop exact
/// kernel times where the threads differ. Nothing when `set` has no entries, or none for this device: entries of
/// another target than `target` ("" for any) do not count, whatever their thread count.
std::optional<PlacementCosts> placement_costs(const CalibrationSet& set, int ranks, int threads,
                                              std::string_view target = "");

}  // namespace weft
