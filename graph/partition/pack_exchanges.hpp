// Small exchanges of states' parts travel together.
#pragma once

#include <cstdint>

#include "weft/graph.hpp"

namespace weft {

/// What is larger travels alone, without a copy; copying less takes less time than another exchange.
inline constexpr std::int64_t kSmallExchangeBytes = 64 << 10, kMostPackedBytes = 512 << 10;

/// Reduce-scatters, and all-gathers, over "data" of no more than `kSmallExchangeBytes` (of the whole) that nothing
/// orders become one of at most `bucket_bytes` and `kMostPackedBytes`: the parts of all members for one rank lie side
/// by side, so that each is copied once on its way to or from them. Looks at nothing but the graph's structure and the
/// sizes of wholes: these must be equal on all ranks, which they are where no other axis cuts states unevenly.
Graph pack_exchanges(const Graph& graph, std::int64_t bucket_bytes);

}  // namespace weft
