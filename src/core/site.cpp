// Look-ups in sites and calibrations.
#include "weft/site.hpp"

#include <algorithm>

namespace weft {

const SitePartition* Site::find_partition(std::string_view name_of_partition) const {
  const auto found = std::find_if(partitions.begin(), partitions.end(),
                                  [&](const SitePartition& p) { return p.name == name_of_partition; });
  return found == partitions.end() ? nullptr : &*found;
}

const Calibration* CalibrationSet::find(int ranks, int threads) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Calibration& c) { return c.ranks == ranks && c.threads == threads; });
  return found == entries.end() ? nullptr : &*found;
}

}  // namespace weft
