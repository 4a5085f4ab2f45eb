// Shuffling and sharing out of samples.
#include "src/data/sample_order.hpp"

#include <limits>
#include <numeric>
#include <utility>

#include "weft/error.hpp"
#include "weft/mesh.hpp"

namespace weft {

namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

template <class T>
void shuffle_all(std::vector<T>& order, std::uint64_t key) {
  std::iota(order.begin(), order.end(), T{0});
  for (std::size_t i = order.size(); i-- > 1;) {
    const auto wide = static_cast<unsigned __int128>(splitmix(key, i)) * (i + 1);
    std::swap(order[i], order[static_cast<std::size_t>(wide >> 64)]);
  }
}

}  // namespace

std::uint64_t splitmix(std::uint64_t key, std::uint64_t counter) {
  std::uint64_t z = key + (counter + 1) * kGolden;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::uint64_t order_key(std::int64_t seed, std::int64_t epoch) {
  return splitmix(splitmix(static_cast<std::uint64_t>(seed), 0), static_cast<std::uint64_t>(epoch));
}

std::vector<Share> rank_shares(const Dims& passes, int ranks, int rank) {
  check_internal(rank >= 0 && rank < ranks, "rank_shares: rank out of range");
  std::vector<Share> shares;
  std::int64_t start = 0;
  for (const std::int64_t part : passes) {
    const Dims extents = split_evenly(part, ranks);
    const auto before = std::accumulate(extents.begin(), extents.begin() + rank, std::int64_t{0});
    shares.push_back({start + before, extents[static_cast<std::size_t>(rank)]});
    start += part;
  }
  return shares;
}

void SampleOrder::start_epoch(std::int64_t epoch) {
  if (!shuffle_ || epoch == epoch_) return;
  const std::uint64_t key = order_key(seed_, epoch);
  if (samples_ <= std::numeric_limits<std::uint32_t>::max()) {
    narrow_.resize(static_cast<std::size_t>(samples_));
    shuffle_all(narrow_, key);
  } else {
    wide_.resize(static_cast<std::size_t>(samples_));
    shuffle_all(wide_, key);
  }
  epoch_ = epoch;
}

}  // namespace weft
