// Site and calibration files.
#include "src/launch/site_costs.hpp"

#include "scheduler/site.hpp"

namespace weft {

SiteCosts read_site_costs(FileSystem& files, const std::filesystem::path& site_file) {
  SiteCosts known{read_site(site_file), {}};
  const auto path = calibration_path(known.site);
  if (files.exists(path)) known.costs = parse_calibration(read_whole_file(files, path), path.string());
  return known;
}

void write_costs(FileSystem& files, const Site& site, const CalibrationSet& costs) {
  write_whole_file(files, calibration_path(site), calibration_to_json(costs));
}

std::optional<PlacementCosts> costs_for(const SiteCosts& known, int ranks_per_node, const Target& target) {
  return placement_costs(known.costs, ranks_per_node, target.threads, target.str());
}

}  // namespace weft
