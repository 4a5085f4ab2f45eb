// Random tensors over random meshes: any axes, splits in blocks and uneven parts, empty ones included.
#pragma once

#include <algorithm>

#include "tests/support/dice.hpp"
#include "weft/mesh.hpp"

namespace weft::test {

struct DrawnPlacement {
  Mesh mesh;
  Placement placement;
};

inline Shape drawn_shape(testing::Dice& dice, std::int64_t largest_extent = 9) {
  Dims extents(static_cast<std::size_t>(dice.roll(0, 3)));
  for (std::int64_t& extent : extents) extent = dice.roll(dice.roll(0, 9) == 0 ? 0 : 1, largest_extent);
  return Shape(extents);
}

inline Mesh drawn_mesh(testing::Dice& dice, int most_ranks = 8) {
  Mesh mesh;
  int left = most_ranks;
  for (const char* name : {"data", "tensor", "pipeline"}) {
    const int size = static_cast<int>(dice.roll(1, std::min(left, 4)));
    mesh.axes.push_back({name, size});
    left /= size;
  }
  return mesh;
}

/// `parts` numbers of sum `count`, some of them 0.
inline Dims drawn_extents(testing::Dice& dice, std::int64_t count, int parts) {
  if (dice.roll(0, 1) == 0) return split_evenly(count, parts);
  Dims cuts{0, count};
  for (int i = 1; i < parts; ++i) cuts.push_back(dice.roll(0, count));
  std::sort(cuts.begin(), cuts.end());
  Dims extents;
  for (std::size_t i = 1; i < cuts.size(); ++i) extents.push_back(cuts[i] - cuts[i - 1]);
  return extents;
}

/// Each axis cuts what those before it left; a dimension that was cut in unequal parts is left alone afterwards.
inline Placement drawn_placement(testing::Dice& dice, const Shape& shape, const Mesh& mesh) {
  Placement placement;
  Dims left = shape.extents();  // -1: another extent on every rank
  for (const MeshAxis& axis : mesh.axes) {
    placement.axes.emplace_back();
    if (left.empty() || dice.roll(0, 3) == 0) continue;
    const auto d = static_cast<std::size_t>(dice.roll(0, std::ssize(left) - 1));
    if (left[d] < 0) continue;
    std::int64_t blocks = dice.roll(1, 3);
    if (left[d] % blocks != 0) blocks = 1;
    placement.axes.back() = {AxisPlacement::Kind::split, static_cast<int>(d),
                             drawn_extents(dice, left[d] / blocks, axis.size), blocks};
    left[d] = placement.axes.back().is_even() ? placement.axes.back().local_extent(0) : -1;
  }
  return placement;
}

inline DrawnPlacement drawn_placement(testing::Dice& dice, const Shape& shape, int most_ranks = 8) {
  const Mesh mesh = drawn_mesh(dice, most_ranks);
  return {mesh, drawn_placement(dice, shape, mesh)};
}

}  // namespace weft::test
