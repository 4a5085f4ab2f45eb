// Which ranks hold which parts of each state.
#pragma once

#include <vector>

#include "weft/communicator.hpp"
#include "weft/shard.hpp"

namespace weft {

/// One part of a state and the ranks, ascending, that hold it.
struct HeldPart {
  KeptIndices kept;
  std::vector<int> ranks;
};

/// By state; parts without elements are left out.
using Holders = std::vector<std::vector<HeldPart>>;

/// Collective. `types` are those of the whole states, equal on all ranks; `mine` has this rank's part of each, or null
/// for one that it does not have.
Holders holders_of(Communicator& comm, const std::vector<TensorType>& types, const std::vector<const Shard*>& mine);

}  // namespace weft
