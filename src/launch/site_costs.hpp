// A site and what was measured of it, from disk and back.
#pragma once

#include <filesystem>
#include <optional>

#include "scheduler/calibration.hpp"
#include "src/files/file_system.hpp"
#include "weft/site.hpp"
#include "weft/target.hpp"

namespace weft {

struct SiteCosts {
  Site site;
  CalibrationSet costs;  ///< without entries where nothing was measured yet
};

/// Throws UserError for a site or calibration file that is not one, SystemError when one cannot be read. A calibration
/// that is not there is none.
SiteCosts read_site_costs(FileSystem& files, const std::filesystem::path& site_file);

/// Whole or not at all, at calibration_path(site).
void write_costs(FileSystem& files, const Site& site, const CalibrationSet& costs);

/// The costs that price a Program for `target` on one of `ranks_per_node` ranks of a node; nothing: uncalibrated.
std::optional<PlacementCosts> costs_for(const SiteCosts& known, int ranks_per_node, const Target& target);

}  // namespace weft
