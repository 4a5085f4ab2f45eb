// Loops from layouts, and collapsing.
#include "kernels/loops/nest.hpp"

#include <algorithm>

namespace weft::loops {

std::vector<Loop> loops_of(const Layout& layout) {
  std::vector<Loop> outer;
  for (int d = 0; d < layout.shape.rank(); ++d)
    outer.push_back({d, layout.padded(d) / layout.block_of(d), layout.block_of(d), -1});
  std::stable_sort(outer.begin(), outer.end(), [&](const Loop& a, const Loop& b) {
    if ((a.extent == 1) != (b.extent == 1)) return a.extent == 1;
    return layout.strides[static_cast<std::size_t>(a.dimension)] >
           layout.strides[static_cast<std::size_t>(b.dimension)];
  });
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    std::int64_t weight = 1;
    for (std::size_t j = i + 1; j < layout.blocks.size(); ++j)
      if (layout.blocks[j].dimension == layout.blocks[i].dimension) weight *= layout.blocks[j].size;
    outer.push_back({layout.blocks[i].dimension, layout.blocks[i].size, weight, static_cast<int>(i)});
  }
  return outer;
}

Layout same_order(const Layout& other, const Shape& shape) {
  // Where an extent is 1 the order of the loops does not say where its dimension lies.
  if (other.is_row_major()) return Layout::dense(shape);
  Layout result{shape, Dims(shape.extents().size(), 1), other.blocks};
  std::int64_t stride = 1;
  for (const Layout::Block& b : other.blocks) stride *= b.size;
  const std::vector<Loop> loops = loops_of(other);
  for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
    if (it->block >= 0) continue;
    result.strides[static_cast<std::size_t>(it->dimension)] = stride;
    stride *= std::max<std::int64_t>(result.padded(it->dimension) / result.block_of(it->dimension), 1);
  }
  return result;
}

std::optional<Dims> strides_in(const std::vector<Loop>& loops, const Layout& layout, const DimMap& map) {
  Dims result;
  // Inner strides of the value's own blocks, and the loop blocks that they must pair with, in order by dimension.
  std::vector<std::int64_t> block_stride(layout.blocks.size(), 1);
  for (std::size_t i = layout.blocks.size(); i-- > 1;) block_stride[i - 1] = block_stride[i] * layout.blocks[i].size;
  std::vector<std::size_t> next(layout.shape.extents().size(), 0);  // position in blocks, by dimension
  std::size_t paired = 0;
  for (const Loop& loop : loops) {
    int own = -1;
    for (std::size_t e = 0; e < map.size(); ++e)
      if (map[e] == loop.dimension) own = static_cast<int>(e);
    if (own < 0 || layout.shape[own] == 1) {
      result.push_back(0);
      continue;
    }
    const auto e = static_cast<std::size_t>(own);
    if (layout.block_of(own) == 1) {
      result.push_back(layout.strides[e] * loop.weight);
    } else if (loop.block < 0) {
      if (loop.weight != layout.block_of(own)) return std::nullopt;
      result.push_back(layout.strides[e]);
    } else {
      std::size_t& i = next[e];
      while (i < layout.blocks.size() && layout.blocks[i].dimension != own) ++i;
      if (i == layout.blocks.size() || layout.blocks[i].size != loop.extent) return std::nullopt;
      result.push_back(block_stride[i++]);
      ++paired;
    }
  }
  for (const Layout::Block& b : layout.blocks)
    if (layout.shape[b.dimension] > 1) {
      if (paired == 0) return std::nullopt;
      --paired;
    }
  return result;
}

Dims index_strides(const std::vector<Loop>& loops, int dimension) {
  Dims result;
  for (const Loop& loop : loops) result.push_back(loop.dimension == dimension ? loop.weight : 0);
  return result;
}

std::int64_t Nest::elements() const {
  std::int64_t total = 1;
  for (const std::int64_t e : extents) total *= e;
  return total;
}

void Nest::collapse() {
  Dims extents_out;
  std::vector<Dims> strides_out(strides.size());
  std::vector<bool> kept_out;
  for (std::size_t l = 0; l < extents.size(); ++l) {
    if (extents[l] == 1) continue;
    bool merge = !extents_out.empty() && (kept.empty() || kept_out.back() == kept[l]);
    for (std::size_t o = 0; merge && o < strides.size(); ++o)
      merge = strides_out[o].back() == strides[o][l] * extents[l];
    if (merge) {
      extents_out.back() *= extents[l];
      for (std::size_t o = 0; o < strides.size(); ++o) strides_out[o].back() = strides[o][l];
    } else {
      extents_out.push_back(extents[l]);
      if (!kept.empty()) kept_out.push_back(kept[l]);
      for (std::size_t o = 0; o < strides.size(); ++o) strides_out[o].push_back(strides[o][l]);
    }
  }
  extents = std::move(extents_out);
  strides = std::move(strides_out);
  kept = std::move(kept_out);
}

}  // namespace weft::loops
