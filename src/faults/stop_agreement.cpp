// The kind is in the top bits, so that a maximum finds the strongest wish; the rank below it.
#include "src/faults/stop_agreement.hpp"

namespace weft {
namespace {

constexpr std::uint32_t kRankBits = 24;

}  // namespace

std::uint32_t encode_wish(StopKind wish, int rank) {
  if (wish == StopKind::none) return 0;
  return static_cast<std::uint32_t>(wish) << kRankBits | (static_cast<std::uint32_t>(rank) & ((1u << kRankBits) - 1));
}

StopDecision decode_wish(std::uint32_t highest) {
  if (highest == 0) return {};
  return {static_cast<StopKind>(highest >> kRankBits), static_cast<int>(highest & ((1u << kRankBits) - 1))};
}

StopDecision agree_to_stop(Communicator& comm, StopKind mine, std::int64_t step) {
  std::uint32_t wish = encode_wish(mine, comm.rank());
  auto* at = reinterpret_cast<std::byte*>(&wish);
  comm.start_all_reduce(at, at, 1, DType::u32, ReduceKind::max, {"agreeing whether to stop", step, 0})->wait();
  return decode_wish(wish);
}

}  // namespace weft
