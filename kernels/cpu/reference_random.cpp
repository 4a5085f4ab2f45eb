// random_bits: words of Philox, four a call, for any position of the sample dimension.
#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/reference_routine.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "weft/philox.hpp"

namespace weft::cpu::reference {
namespace {

/// The result as rows of elements with one sample and consecutive j.
class RandomBits final : public Routine {
 public:
  explicit RandomBits(const Problem& p)
      : id_(static_cast<std::uint32_t>(p.attributes.integer("id"))),
        ops_(p.context.tiles.get()),
        threads_(p.context.threads) {
    const Shape& shape = p.results[0].shape;
    const auto sample_dim = static_cast<int>(p.attributes.integer("sample_dim"));
    if (sample_dim >= 0) {
      outer_ = shape.elements(0, sample_dim);
      samples_ = shape[sample_dim];
    }
    row_ = shape.elements(sample_dim + 1, shape.rank());
  }

  void run(const Buffers& buffers) const override {
    std::uint64_t scalars[3];
    for (std::size_t i = 0; i < 3; ++i) std::memcpy(&scalars[i], buffers.operands[i], 8);
    const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(scalars[0]),
                                              static_cast<std::uint32_t>(scalars[0] >> 32)};
    const auto step = static_cast<std::uint32_t>(scalars[1]);
    auto* to = reinterpret_cast<std::uint32_t*>(buffers.results[0]);
    const std::int64_t total = outer_ * samples_ * row_;
    parallel_ranges(threads_, total, 64, total * 8, [&](int, std::int64_t begin, std::int64_t end) {
      while (begin < end) {
        const std::int64_t row = begin / row_, within = begin % row_;
        const std::int64_t count = std::min(end - begin, row_ - within);
        const std::uint64_t sample = scalars[2] + static_cast<std::uint64_t>(row % samples_);
        const std::int64_t j = row / samples_ * row_ + within;
        draw(key, step, static_cast<std::uint32_t>(sample), static_cast<std::uint64_t>(j), count, to + begin);
        begin += count;
      }
    });
  }

 private:
  using Key = std::array<std::uint32_t, 2>;
  using Counter = std::array<std::uint32_t, 4>;

  /// Words j, j + 1, … of one sample: part of a block, whole blocks, part of a block.
  void draw(const Key& key, std::uint32_t step, std::uint32_t sample, std::uint64_t j, std::int64_t count,
            std::uint32_t* to) const {
    const auto counter = [&] { return Counter{static_cast<std::uint32_t>(j / 4), sample, step, id_}; };
    const auto part = [&](std::int64_t words) {
      const Counter block = philox4x32(counter(), key);
      std::copy_n(block.begin() + j % 4, words, to);
      j += static_cast<std::uint64_t>(words), to += words, count -= words;
    };
    if (j % 4 != 0) part(std::min(count, static_cast<std::int64_t>(4 - j % 4)));
    const std::int64_t blocks = count / 4;
    ops_->philox(key.data(), counter().data(), blocks, to);
    j += static_cast<std::uint64_t>(blocks) * 4, to += blocks * 4, count -= blocks * 4;
    if (count > 0) part(count);
  }

  std::uint32_t id_;
  const TileOps* ops_;
  std::int64_t outer_ = 1, samples_ = 1, row_ = 1;
  int threads_;
};

}  // namespace

std::unique_ptr<Routine> make_random_bits(const Problem& p) {
  return p.op == Op::random_bits ? std::make_unique<RandomBits>(p) : nullptr;
}

}  // namespace weft::cpu::reference
