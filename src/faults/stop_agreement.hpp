// Ranks leave together: each has its own wish to stop, and all act on the strongest.
#pragma once

#include <cstdint>

#include "weft/communicator.hpp"

namespace weft {

enum class StopKind : std::uint32_t {
  none,
  time,      ///< the run's time is nearly over
  graceful,  ///< SIGUSR1 or SIGINT: finish the step, save, leave
  terminate  ///< SIGTERM: save only if it can be done at once
};

struct StopDecision {
  StopKind kind = StopKind::none;
  int rank = -1;  ///< one that wished it
  explicit operator bool() const { return kind != StopKind::none; }
  bool operator==(const StopDecision&) const = default;
};

/// Four bytes whose maximum over ranks (DType::u32, ReduceKind::max) decides: to ride along with another exchange.
std::uint32_t encode_wish(StopKind wish, int rank);
StopDecision decode_wish(std::uint32_t highest);

/// Collective. The same decision on all ranks: one small all-reduce.
StopDecision agree_to_stop(Communicator& comm, StopKind mine, std::int64_t step);

}  // namespace weft
