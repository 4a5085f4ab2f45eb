// Doing something on every rank that may fail on some: all learn of it, and all throw the same.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/communicator.hpp"

namespace weft {

/// Collective. Runs `work` on this rank; where it throws an Error on any rank, every rank throws one of that kind with
/// the message of the lowest such rank ("rank 2: cannot write …"). Otherwise returns what each rank's `work` returned,
/// in rank order.
std::vector<std::vector<std::byte>> together(Communicator& comm, std::string_view what,
                                             const std::function<std::vector<std::byte>()>& work);
/// The same of work on rank 0 alone; its result reaches all ranks.
std::vector<std::byte> on_rank_0(Communicator& comm, std::string_view what,
                                 const std::function<std::vector<std::byte>()>& work);

}  // namespace weft
