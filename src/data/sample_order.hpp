// Which samples make up a batch, in what order, and which of them are one rank's: pure functions.
//
// Order. Epoch e of a shuffled data set of N samples is the Fisher-Yates shuffle of 0 … N-1, for i = N-1 down to 1:
// swap(order[i], order[j]), j = floor(r(i) · (i+1) / 2^64), where r(i) is the i-th output of SplitMix64 started at
// key(seed, e). It depends on seed and epoch only: never on ranks, micro-batches or prefetching.
#pragma once

#include <cstdint>
#include <vector>

#include "weft/shape.hpp"

namespace weft {

/// SplitMix64's output number `counter` for a stream that starts at `key`.
std::uint64_t splitmix(std::uint64_t key, std::uint64_t counter);
/// The start of the stream of (seed, epoch).
std::uint64_t order_key(std::int64_t seed, std::int64_t epoch);

/// A consecutive part of a global batch.
struct Share {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  bool operator==(const Share&) const = default;
};

/// The parts of a global batch that `rank` of `ranks` reads, one for each of its `passes` (samples, consecutive), in
/// order: each pass is cut into `ranks` consecutive shares, as evenly as can be (split_evenly). Shares may be empty.
std::vector<Share> rank_shares(const Dims& passes, int ranks, int rank);

/// The order of one epoch's samples.
class SampleOrder {
 public:
  SampleOrder(std::int64_t samples, bool shuffle, std::int64_t seed)
      : samples_(samples), shuffle_(shuffle), seed_(seed) {}

  /// Computes the order of `epoch`; does nothing where it is at hand.
  void start_epoch(std::int64_t epoch);
  /// The sample at `position` of the current epoch.
  std::int64_t operator[](std::int64_t position) const {
    const auto i = static_cast<std::size_t>(position);
    return !shuffle_ ? position : narrow_.empty() ? wide_[i] : static_cast<std::int64_t>(narrow_[i]);
  }

 private:
  std::int64_t samples_;
  bool shuffle_;
  std::int64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::uint32_t> narrow_;  // up to 2^32 samples: half the memory
  std::vector<std::int64_t> wide_;
};

}  // namespace weft
