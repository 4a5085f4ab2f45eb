// Proof that ranks that hold the same part of a state still hold the same bytes.
#pragma once

#include <cstdint>

#include "weft/communicator.hpp"
#include "weft/state.hpp"

namespace weft {

/// Collective. Compares the content hash of every state among the ranks that hold the same part of it; throws on every
/// rank the same SystemError naming the first state (in name order) that differs, and which ranks on which hosts hold
/// what.
void check_replicas(Communicator& comm, const StateTable& table, std::int64_t step);

}  // namespace weft
