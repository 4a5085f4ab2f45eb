// Rank arithmetic over a mesh.
#include "weft/mesh.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "weft/error.hpp"

namespace weft {

int Mesh::ranks() const {
  int n = 1;
  for (const MeshAxis& a : axes) n *= a.size;
  return n;
}

int Mesh::axis_index(std::string_view name) const {
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i].name == name) return static_cast<int>(i);
  return -1;
}

int Mesh::axis_size(std::string_view name) const {
  const int i = axis_index(name);
  return i < 0 ? 1 : axes[static_cast<std::size_t>(i)].size;
}

std::vector<int> Mesh::coordinates(int rank) const {
  std::vector<int> result(axes.size());
  for (std::size_t i = axes.size(); i-- > 0;) {
    result[i] = rank % axes[i].size;
    rank /= axes[i].size;
  }
  return result;
}

int Mesh::rank(const std::vector<int>& coordinates) const {
  int r = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) r = r * axes[i].size + coordinates.at(i);
  return r;
}

std::vector<int> Mesh::group(int rank, const std::vector<std::string>& axis_names) const {
  const std::vector<int> mine = coordinates(rank);
  std::vector<int> result;
  for (int r = 0; r < ranks(); ++r) {
    const std::vector<int> theirs = coordinates(r);
    bool same = true;
    for (std::size_t i = 0; i < axes.size(); ++i)
      if (theirs[i] != mine[i] && std::find(axis_names.begin(), axis_names.end(), axes[i].name) == axis_names.end())
        same = false;
    if (same) result.push_back(r);
  }
  return result;
}

std::string Mesh::str() const {
  std::string text;
  for (const MeshAxis& a : axes) text += fmt::format("{}{}={}", text.empty() ? "" : " x ", a.name, a.size);
  return text.empty() ? "one rank" : text;
}

std::int64_t AxisPlacement::block_extent() const {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{0});
}

bool AxisPlacement::is_even() const {
  return std::all_of(extents.begin(), extents.end(), [&](std::int64_t e) { return e == extents.front(); });
}

std::string Placement::str() const {
  std::vector<std::string> parts;
  for (const AxisPlacement& a : axes) switch (a.kind) {
      case AxisPlacement::Kind::replicated: parts.emplace_back("replicated"); break;
      case AxisPlacement::Kind::split:
        parts.push_back(a.blocks == 1 ? fmt::format("split({})", a.dimension)
                                      : fmt::format("split({} in {} blocks)", a.dimension, a.blocks));
        break;
      case AxisPlacement::Kind::partial: parts.emplace_back("partial"); break;
    }
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

Dims split_evenly(std::int64_t count, int parts) {
  check_internal(parts >= 1 && count >= 0, "split_evenly: at least one part, and no negative count");
  Dims result(static_cast<std::size_t>(parts), count / parts);
  for (std::int64_t i = 0; i < count % parts; ++i) ++result[static_cast<std::size_t>(i)];
  return result;
}

}  // namespace weft
