// Shard: which bytes of a whole row-major tensor one rank holds.
//
// Along every dimension a rank keeps some runs of indices, in ascending order, and holds the elements whose every index
// it keeps. So the bytes of a part ascend in the part as they do in the whole, and those that lie in one range of the
// whole are one range of the part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// Indices first to first + count - 1 of a dimension.
struct IndexRun {
  std::int64_t first = 0, count = 0;
  bool operator==(const IndexRun&) const = default;
};

/// By dimension; runs ascend, are not empty and do not touch.
using KeptIndices = std::vector<std::vector<IndexRun>>;

/// Bytes that are contiguous in the whole and in the part.
struct ShardRun {
  std::int64_t whole_offset = 0, local_offset = 0, bytes = 0;
  bool operator==(const ShardRun&) const = default;
};

struct Shard {
  TensorType whole, local;
  KeptIndices kept;
  std::vector<ShardRun> runs;  ///< ascending in both, as few as can be; none where the part has no elements
  /// Whether this is the lowest rank that holds this very part. Empty parts: unspecified.
  bool first_replica = true;

  bool is_whole() const { return local == whole; }
};

/// `placement` has an entry an axis of the mesh, each of what the axes before it left; or none at all: whole on all
/// ranks. Throws InternalError where it does not fit the type or the mesh, and for partial sums.
Shard shard_of(const TensorType& whole, const Placement& placement, const Mesh& mesh, int rank);
Shard whole_shard(const TensorType& type);
/// A part by what it keeps. Throws InternalError where that is not as KeptIndices says or outside the type.
Shard shard_from(const TensorType& whole, KeptIndices kept);

/// A range of bytes.
struct ByteRange {
  std::int64_t offset = 0, bytes = 0;
  bool operator==(const ByteRange&) const = default;
};

/// Of the part: the bytes that lie within a range of the whole.
ByteRange local_range(const Shard& shard, ByteRange whole);
/// Copies the bytes that lie within a range of the whole: `piece` is that range, `part` its local_range.
void take_part(const Shard& shard, ByteRange whole, std::span<const std::byte> piece, std::span<std::byte> part);
/// The reverse. Bytes of `piece` that the shard does not hold stay.
void put_part(const Shard& shard, ByteRange whole, std::span<const std::byte> part, std::span<std::byte> piece);

}  // namespace weft
