// Proof that the replicas of a data-parallel run are still equal.
#pragma once

#include <cstdint>

#include "weft/communicator.hpp"
#include "weft/state.hpp"

namespace weft {

/// Collective. Compares the content hash of every state across ranks; throws on every rank the same SystemError naming
/// the first state (in name order) that differs, and which ranks hold what.
void check_replicas(Communicator& comm, const StateTable& table, std::int64_t step);

}  // namespace weft
