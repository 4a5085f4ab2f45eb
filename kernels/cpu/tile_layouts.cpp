// The first blocked layout that is fixed wins, then the first fixed one, then row-major.
#include "kernels/cpu/tile_layouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace weft::cpu {
namespace {

/// Below this, walking a full operand out of order costs less than a kernel to reorder it.
constexpr std::int64_t kSmall = 4096;

DimMap identity_map(int rank) {
  DimMap map;
  for (int d = 0; d < rank; ++d) map.push_back(d);
  return map;
}

/// A value's layout as one of the iteration space; nullopt when extents of 1 carry blocks.
std::optional<Layout> in_space(const Layout& layout, const DimMap& map, const Shape& space) {
  Layout result{space, Dims(space.extents().size(), 0), {}};
  for (std::size_t e = 0; e < map.size(); ++e)
    if (map[e] >= 0) result.strides[static_cast<std::size_t>(map[e])] = layout.strides[e];
  for (const Layout::Block& b : layout.blocks) {
    const int d = map[static_cast<std::size_t>(b.dimension)];
    if (d < 0) return std::nullopt;
    result.blocks.push_back({d, b.size});
  }
  return result;
}

/// The reverse: what a free full operand takes.
Layout in_operand(const Layout& primary, const DimMap& map, const Shape& shape) {
  Layout result{shape, Dims(shape.extents().size(), 0), {}};
  const auto own = [&](int dimension) {
    for (std::size_t e = 0; e < map.size(); ++e)
      if (map[e] == dimension) return static_cast<int>(e);
    return -1;
  };
  for (std::size_t e = 0; e < map.size(); ++e)
    result.strides[e] = map[e] >= 0 ? primary.strides[static_cast<std::size_t>(map[e])] : 1;
  for (const Layout::Block& b : primary.blocks) {
    const int e = own(b.dimension);
    if (e < 0) return Layout::dense(shape);
    result.blocks.push_back({e, b.size});
  }
  return result;
}

/// The same order of dimensions without gaps; nullopt for blocked layouts with gaps.
std::optional<Layout> without_gaps(const Layout& layout) {
  std::int64_t dense = 1;
  for (int d = 0; d < layout.shape.rank(); ++d) dense *= layout.padded(d);
  if (layout.storage_elements() == dense) return layout;
  if (!layout.blocks.empty()) return std::nullopt;
  Dims order;
  for (const Loop& loop : loops_of(layout)) order.push_back(loop.dimension);
  return Layout::permuted(layout.shape, order);
}

}  // namespace

LoopLayouts choose_layouts(const Graph& body, const TileGraph& graph, const std::vector<ValueId>& results) {
  LoopLayouts out{body, Layout::dense(graph.space()), {}};
  const Shape& space = graph.space();
  const DimMap identity = identity_map(space.rank());
  bool fixed = false;
  const auto consider = [&](ValueId v, const DimMap& map) {
    const auto& layout = body.value(v).layout;
    if (!layout) return;
    std::optional<Layout> seen = in_space(*layout, map, space);
    if (seen) seen = without_gaps(*seen);
    if (!seen) return;
    if (!fixed || (out.primary.blocks.empty() && !seen->blocks.empty())) out.primary = std::move(*seen);
    fixed = true;
  };
  for (const ValueId r : results) consider(r, identity);
  for (const TileOperand& o : graph.operands())
    if (graph.is_full(o)) consider(o.value, o.map);

  for (const ValueId r : results)
    if (!out.body.value(r).layout) out.body.value(r).layout = out.primary;
  for (const TileOperand& o : graph.operands()) {
    auto& layout = out.body.value(o.value).layout;
    if (layout) continue;
    const Shape& shape = body.type(o.value).shape;
    layout = graph.is_full(o) ? in_operand(out.primary, o.map, shape) : Layout::dense(shape);
  }
  for (const GraphInput& i : body.inputs())  // inputs that nothing reads
    if (auto& layout = out.body.value(i.value).layout; !layout) layout = Layout::dense(body.type(i.value).shape);

  const std::vector<Loop> loops = loops_of(out.primary);
  std::size_t inner = loops.size();
  while (inner > 0 && loops[inner - 1].extent == 1) --inner;
  const auto check = [&](ValueId v, const DimMap& map, bool full) {
    const Layout& layout = *out.body.value(v).layout;
    const std::optional<Dims> strides = strides_in(loops, layout, map);
    if (!strides)
      out.refusal = fmt::format("wants {}, given {}", out.primary.str(), layout.str());
    else if (full && inner > 0 && (*strides)[inner - 1] != 1 && space.elements() > kSmall)
      out.refusal = fmt::format("operands are fixed to different layouts: {} and {}", out.primary.str(), layout.str());
    else if (out.primary.has_padding() || layout.has_padding()) {
      const bool uniform = std::all_of(strides->begin(), strides->end(), [](std::int64_t s) { return s == 0; });
      if (!uniform && !(full && in_space(layout, map, space) == out.primary))
        out.refusal = fmt::format("padded layouts must be equal: {} and {}", out.primary.str(), layout.str());
    }
  };
  for (const ValueId r : results) check(r, identity, true);
  for (const TileOperand& o : graph.operands()) check(o.value, o.map, graph.is_full(o));
  if (out.primary.has_padding() && !graph.iotas().empty()) out.refusal = "iota over a padded layout";
  return out;
}

}  // namespace weft::cpu
