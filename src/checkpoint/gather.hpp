// Whole states on one rank, for export.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "weft/communicator.hpp"
#include "weft/state.hpp"

namespace weft {

/// Collective. Rank 0's `use` gets the bytes of the whole state in order, a few MiB at a time; that of others is not
/// called.
void gather_state(Communicator& comm, const StateTable& table, const std::string& name,
                  const std::function<void(std::int64_t offset, std::span<const std::byte> bytes)>& use);
/// Collective. The whole state on rank 0, a scalar zero elsewhere.
Tensor gather_state(Communicator& comm, const StateTable& table, const std::string& name);

}  // namespace weft
