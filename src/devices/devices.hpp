// The devices that this build has, by the name that jobs give them.
#pragma once

#include <memory>
#include <string>

#include "weft/device.hpp"

namespace weft {

/// What a rank may use of its node.
struct NodeShare {
  int ranks = 1;    ///< of this job on this node
  int threads = 0;  ///< compute threads a rank; 0: choose
};

/// Compute threads for one of `ranks` ranks: OMP_NUM_THREADS where set; else the cores that this process may use, when
/// the launcher gave each rank its own; else an equal share of them.
int default_threads(int ranks);

/// Whether there are more compute threads on this node than cores that they may use, in words; empty when there are
/// not. `threads` are of each of `ranks` ranks.
std::string crowding(int ranks, int threads);

/// `name` is "auto", "cpu", "cuda" or "opencl"; `fast_math` is for job.math: fast. Throws UserError naming the devices
/// that this build has.
std::unique_ptr<Device> make_device(const std::string& name, const NodeShare& share, bool deterministic,
                                    bool fast_math = false);

}  // namespace weft
