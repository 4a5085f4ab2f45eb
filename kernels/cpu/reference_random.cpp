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
        shape_(p.results[0].shape),
        sample_dim_(static_cast<int>(p.attributes.integer("sample_dim"))),
        part_(p.operands.size() == 4),
        ops_(p.context.tiles.get()),
        threads_(p.context.threads) {
    // A part's rows lie apart in the whole wherever they end.
    rows_dims_ = part_ ? std::max(sample_dim_ + 1, shape_.rank() - 1) : sample_dim_ + 1;
    row_ = shape_.elements(rows_dims_, shape_.rank());
    const Shape whole = part_ ? Shape(p.attributes.integers("whole")) : shape_;
    strides_.assign(shape_.extents().size(), 0);
    std::int64_t stride = 1;
    for (int d = shape_.rank() - 1; d >= 0; --d)
      if (d != sample_dim_) {
        strides_[static_cast<std::size_t>(d)] = stride;
        stride *= whole[d];
      }
  }

  void run(const Buffers& buffers) const override {
    std::uint64_t scalars[3];
    for (std::size_t i = 0; i < 3; ++i) std::memcpy(&scalars[i], buffers.operands[i], 8);
    const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(scalars[0]),
                                              static_cast<std::uint32_t>(scalars[0] >> 32)};
    const auto step = static_cast<std::uint32_t>(scalars[1]);
    const std::int64_t first = part_ ? first_of(buffers.operands[3]) : 0;
    auto* to = reinterpret_cast<std::uint32_t*>(buffers.results[0]);
    const std::int64_t total = shape_.elements();
    parallel_ranges(threads_, total, 64, total * 8, [&](int, std::int64_t begin, std::int64_t end) {
      while (begin < end) {
        const std::int64_t row = begin / row_, within = begin % row_;
        const std::int64_t count = std::min(end - begin, row_ - within);
        const auto [sample, j] = place(row);
        draw(key, step, static_cast<std::uint32_t>(scalars[2] + static_cast<std::uint64_t>(sample)),
             static_cast<std::uint64_t>(first + j + within), count, to + begin);
        begin += count;
      }
    });
  }

 private:
  using Key = std::array<std::uint32_t, 2>;
  using Counter = std::array<std::uint32_t, 4>;

  struct Place {
    std::int64_t sample, j;
  };
  /// Of the first element of a row, from that of the first row.
  Place place(std::int64_t row) const {
    Place result{0, 0};
    for (int d = rows_dims_ - 1; d >= 0; --d) {
      const std::int64_t index = row % shape_[d];
      row /= shape_[d];
      if (d == sample_dim_) result.sample = index;
      result.j += index * strides_[static_cast<std::size_t>(d)];
    }
    return result;
  }

  std::int64_t first_of(const std::byte* start) const {
    std::int64_t j = 0;
    for (std::size_t d = 0; d < strides_.size(); ++d) {
      std::int64_t index = 0;
      std::memcpy(&index, start + d * sizeof index, sizeof index);
      j += index * strides_[d];
    }
    return j;
  }

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
  Shape shape_;
  int sample_dim_;
  bool part_;  ///< of a larger tensor
  const TileOps* ops_;
  int threads_;
  int rows_dims_ = 0;  ///< dimensions before those of a row
  std::int64_t row_ = 1;
  Dims strides_;  ///< of j, by dimension
};

}  // namespace

std::unique_ptr<Routine> make_random_bits(const Problem& p) {
  return p.op == Op::random_bits ? std::make_unique<RandomBits>(p) : nullptr;
}

}  // namespace weft::cpu::reference
