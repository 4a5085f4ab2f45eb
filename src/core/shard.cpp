// Index arithmetic of parts: dimensions are cut one after the other, bytes follow.
#include "weft/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "weft/error.hpp"

namespace weft {
namespace {

std::int64_t count_of(const std::vector<IndexRun>& runs) {
  std::int64_t count = 0;
  for (const IndexRun& run : runs) count += run.count;
  return count;
}

void append(std::vector<IndexRun>& runs, IndexRun run) {
  if (run.count == 0) return;
  if (!runs.empty() && runs.back().first + runs.back().count == run.first)
    runs.back().count += run.count;
  else
    runs.push_back(run);
}

/// Those of `kept` at the positions `first` to first + count - 1.
void append_positions(std::vector<IndexRun>& to, const std::vector<IndexRun>& kept, std::int64_t first,
                      std::int64_t count) {
  std::int64_t begin = 0;  // position of the run's first index
  for (const IndexRun& run : kept) {
    const std::int64_t from = std::max(first, begin), until = std::min(first + count, begin + run.count);
    if (from < until) append(to, {run.first + from - begin, until - from});
    begin += run.count;
  }
}

std::vector<IndexRun> cut(const std::vector<IndexRun>& kept, const AxisPlacement& axis, int coordinate) {
  check_internal(axis.blocks >= 1 && axis.block_extent() * axis.blocks == count_of(kept),
                 "a placement cuts a dimension of another extent");
  std::int64_t first = 0;
  for (int c = 0; c < coordinate; ++c) first += axis.extents.at(static_cast<std::size_t>(c));
  std::vector<IndexRun> result;
  for (std::int64_t block = 0; block < axis.blocks; ++block)
    append_positions(result, kept, block * axis.block_extent() + first,
                     axis.extents.at(static_cast<std::size_t>(coordinate)));
  return result;
}

KeptIndices all_indices(const Shape& shape) {
  KeptIndices kept(static_cast<std::size_t>(shape.rank()));
  for (int d = 0; d < shape.rank(); ++d) append(kept[static_cast<std::size_t>(d)], {0, shape[d]});
  return kept;
}

/// The runs of bytes: dimensions after the last that is cut are whole, so each of its runs is one of bytes.
class RunList {
 public:
  explicit RunList(const Shard& shard) : kept_(shard.kept), strides_(shard.whole.shape.row_major_strides()) {
    const Shape& shape = shard.whole.shape;
    last_ = shape.rank() - 1;
    while (last_ > 0 && count_of(kept_[static_cast<std::size_t>(last_)]) == shape[last_]) --last_;
    element_ = static_cast<std::int64_t>(size_of(shard.whole.dtype));
    if (shard.local.shape.elements() == 0) return;
    if (shape.rank() == 0)
      add(0, 1);
    else
      descend(0, 0);
  }
  std::vector<ShardRun> take() { return std::move(runs_); }

 private:
  void descend(int dimension, std::int64_t offset) {
    const auto d = static_cast<std::size_t>(dimension);
    for (const IndexRun& run : kept_[d]) {
      if (dimension == last_) {
        add(offset + run.first * strides_[d], run.count * strides_[d]);
        continue;
      }
      for (std::int64_t i = run.first; i < run.first + run.count; ++i) descend(dimension + 1, offset + i * strides_[d]);
    }
  }

  void add(std::int64_t first, std::int64_t elements) {
    const std::int64_t whole = first * element_, bytes = elements * element_;
    if (!runs_.empty() && runs_.back().whole_offset + runs_.back().bytes == whole)
      runs_.back().bytes += bytes;
    else
      runs_.push_back({whole, local_, bytes});
    local_ += bytes;
  }

  const KeptIndices& kept_;
  Dims strides_;
  int last_ = 0;
  std::int64_t element_ = 1, local_ = 0;
  std::vector<ShardRun> runs_;
};

/// Calls with each stretch of bytes that lies in the range: offset from the range's start, from the part's first byte
/// within it, and length.
template <class Use>
void each_stretch(const Shard& shard, ByteRange whole, const Use& use) {
  auto run = std::upper_bound(shard.runs.begin(), shard.runs.end(), whole.offset,
                              [](std::int64_t at, const ShardRun& r) { return at < r.whole_offset + r.bytes; });
  const std::int64_t end = whole.offset + whole.bytes;
  std::int64_t local = 0;
  for (; run != shard.runs.end() && run->whole_offset < end; ++run) {
    const std::int64_t from = std::max(run->whole_offset, whole.offset),
                       until = std::min(run->whole_offset + run->bytes, end);
    use(from - whole.offset, local, until - from);
    local += until - from;
  }
}

}  // namespace

Shard shard_from(const TensorType& whole, KeptIndices kept) {
  check_internal(static_cast<int>(kept.size()) == whole.shape.rank(), "a part keeps indices of other dimensions");
  Shard shard{whole, whole, std::move(kept), {}, true};
  for (int d = 0; d < whole.shape.rank(); ++d) {
    std::int64_t end = -1;
    for (const IndexRun& run : shard.kept[static_cast<std::size_t>(d)]) {
      check_internal(run.first > end && run.count > 0 && run.count <= whole.shape[d] - run.first,
                     fmt::format("a part of {} keeps indices that dimension {} does not have", whole.str(), d));
      end = run.first + run.count;
    }
    shard.local.shape = shard.local.shape.with(d, count_of(shard.kept[static_cast<std::size_t>(d)]));
  }
  shard.runs = RunList(shard).take();
  return shard;
}

Shard whole_shard(const TensorType& type) { return shard_from(type, all_indices(type.shape)); }

Shard shard_of(const TensorType& whole, const Placement& placement, const Mesh& mesh, int rank) {
  check_internal(placement.axes.empty() || placement.axes.size() == mesh.axes.size(),
                 fmt::format("a placement {} is for another mesh than {}", placement.str(), mesh.str()));
  const std::vector<int> at = mesh.coordinates(rank);
  KeptIndices kept = all_indices(whole.shape);
  bool first = true;
  for (std::size_t a = 0; a < mesh.axes.size(); ++a) {
    const AxisPlacement replicated, &axis = placement.axes.empty() ? replicated : placement.axes[a];
    check_internal(axis.kind != AxisPlacement::Kind::partial, "a state is no partial sum");
    if (axis.kind == AxisPlacement::Kind::replicated) {
      first = first && at[a] == 0;
      continue;
    }
    check_internal(axis.dimension >= 0 && axis.dimension < whole.shape.rank() &&
                       static_cast<int>(axis.extents.size()) == mesh.axes[a].size,
                   fmt::format("a placement {} does not fit {} over {}", placement.str(), whole.str(), mesh.str()));
    std::vector<IndexRun>& runs = kept[static_cast<std::size_t>(axis.dimension)];
    runs = cut(runs, axis, at[a]);
  }
  Shard shard = shard_from(whole, std::move(kept));
  shard.first_replica = first;
  return shard;
}

ByteRange local_range(const Shard& shard, ByteRange whole) {
  const auto local_of = [&](std::int64_t offset) {  // bytes of the part before a byte of the whole
    const auto run = std::upper_bound(shard.runs.begin(), shard.runs.end(), offset,
                                      [](std::int64_t at, const ShardRun& r) { return at < r.whole_offset; });
    if (run == shard.runs.begin()) return std::int64_t{0};
    const ShardRun& before = *std::prev(run);
    return before.local_offset + std::min(before.bytes, offset - before.whole_offset);
  };
  const std::int64_t first = local_of(whole.offset);
  return {first, local_of(whole.offset + whole.bytes) - first};
}

void take_part(const Shard& shard, ByteRange whole, std::span<const std::byte> piece, std::span<std::byte> part) {
  each_stretch(shard, whole, [&](std::int64_t in_piece, std::int64_t in_part, std::int64_t bytes) {
    std::memcpy(part.data() + in_part, piece.data() + in_piece, static_cast<std::size_t>(bytes));
  });
}

void put_part(const Shard& shard, ByteRange whole, std::span<const std::byte> part, std::span<std::byte> piece) {
  each_stretch(shard, whole, [&](std::int64_t in_piece, std::int64_t in_part, std::int64_t bytes) {
    std::memcpy(piece.data() + in_piece, part.data() + in_part, static_cast<std::size_t>(bytes));
  });
}

}  // namespace weft
