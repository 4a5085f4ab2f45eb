// Mesh and placement: how ranks are arranged, and how one tensor lies over them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/shape.hpp"

namespace weft {

struct MeshAxis {
  std::string name;  ///< "data", "tensor", "pipeline"
  int size = 1;
  bool operator==(const MeshAxis&) const = default;
};

/// An ordered list of named axes; ranks are numbered row-major over it, the last axis fastest.
struct Mesh {
  std::vector<MeshAxis> axes;

  int ranks() const;
  int axis_index(std::string_view name) const;  ///< kNone (-1) when absent
  int axis_size(std::string_view name) const;   ///< 1 when absent
  std::vector<int> coordinates(int rank) const;
  int rank(const std::vector<int>& coordinates) const;
  /// Ranks that differ from `rank` only along the named axes, itself included, ascending.
  std::vector<int> group(int rank, const std::vector<std::string>& axis_names) const;
  bool operator==(const Mesh&) const = default;
  std::string str() const;  ///< "data=4 x tensor=2"
};

/// How one tensor lies along one mesh axis.
struct AxisPlacement {
  enum class Kind : std::uint8_t { replicated, split, partial };
  Kind kind = Kind::replicated;
  int dimension = 0;        ///< split: which tensor dimension
  Dims extents;             ///< split: the extent of each coordinate's part of a block (uneven allowed, 0 too)
  std::int64_t blocks = 1;  ///< split: the dimension is so many equal runs, each cut alike (fused QKV weights have 3)

  /// Of the dimension on one coordinate.
  std::int64_t local_extent(int coordinate) const { return extents.at(static_cast<std::size_t>(coordinate)) * blocks; }
  std::int64_t block_extent() const;  ///< of one block, over all coordinates
  bool is_even() const;               ///< whether all coordinates have equal parts
  bool operator==(const AxisPlacement&) const = default;
};

/// One entry per mesh axis.
struct Placement {
  std::vector<AxisPlacement> axes;
  bool operator==(const Placement&) const = default;
  std::string str() const;  ///< "[split(0), partial]"
};

/// One state that is cut along an axis, or that stays whole. States that no cut names follow from those that one does;
/// along "data" they stay whole (graph/partition/zero.hpp).
struct StateCut {
  static constexpr int kWhole = -1;

  std::string state;
  std::string axis;
  int dimension = 0;        ///< kWhole: it is cut along none
  std::int64_t blocks = 1;  ///< the dimension is so many runs, each cut alike: 3 for fused query, key and value weights
  bool operator==(const StateCut&) const = default;
};
using StateCutList = std::vector<StateCut>;

/// `count` items over `parts`, as even as can be, the larger parts first: the extents of every even split in Weft.
Dims split_evenly(std::int64_t count, int parts);

}  // namespace weft
