// Choosing layouts, and refusing those that do not go together.
#include "kernels/loops/layouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace weft::loops {
namespace {

/// Below this, walking a full operand out of order costs less than a kernel to reorder it.
constexpr std::int64_t kSmall = 4096;

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

SpaceLayouts choose_layouts(const Graph& body, const Space& space) {
  SpaceLayouts out{body, Layout::dense(space.shape()), {}};
  bool fixed = false;
  const auto consider = [&](ValueId v, const DimMap& map) {
    const auto& layout = body.value(v).layout;
    if (!layout) return;
    std::optional<Layout> seen = in_space(*layout, map, space.shape());
    if (seen) seen = without_gaps(*seen);
    if (!seen) return;
    if (!fixed || (out.primary.blocks.empty() && !seen->blocks.empty())) out.primary = std::move(*seen);
    fixed = true;
  };
  for (const SpaceOutput& o : space.outputs())
    if (o.full) consider(o.value, o.map);
  for (const SpaceOperand& o : space.operands())
    if (o.full) consider(o.value, o.map);

  const auto settle = [&](ValueId v, const DimMap& map, bool full) {
    auto& layout = out.body.value(v).layout;
    const Shape& shape = body.type(v).shape;
    if (!layout) layout = full ? in_operand(out.primary, map, shape) : Layout::dense(shape);
  };
  for (const SpaceOutput& o : space.outputs()) settle(o.value, o.map, o.full);
  for (const SpaceOperand& o : space.operands()) settle(o.value, o.map, o.full);
  for (const GraphInput& i : body.inputs()) settle(i.value, {}, false);  // inputs that nothing reads

  const std::vector<Loop> loops = loops_of(out.primary);
  std::size_t inner = loops.size();
  while (inner > 0 && loops[inner - 1].extent == 1) --inner;
  const bool padded = out.primary.has_padding();
  const auto check = [&](ValueId v, const DimMap& map, bool full, bool written) {
    const Layout& layout = *out.body.value(v).layout;
    const std::optional<Dims> strides = strides_in(loops, layout, map);
    if (!strides)
      out.refusal = fmt::format("wants {}, given {}", out.primary.str(), layout.str());
    else if (full && inner > 0 && (*strides)[inner - 1] != 1 && space.shape().elements() > kSmall)
      out.refusal = fmt::format("operands are fixed to different layouts: {} and {}", out.primary.str(), layout.str());
    else if (padded || layout.has_padding()) {
      const bool uniform = std::all_of(strides->begin(), strides->end(), [](std::int64_t s) { return s == 0; });
      if ((written || !uniform) && !(full && in_space(layout, map, space.shape()) == out.primary))
        out.refusal = fmt::format("padded layouts must be equal: {} and {}", out.primary.str(), layout.str());
    }
  };
  for (const SpaceOutput& o : space.outputs()) check(o.value, o.map, o.full, true);
  for (const SpaceOperand& o : space.operands()) check(o.value, o.map, o.full, false);
  if (padded && !space.reductions().empty()) out.refusal = "reductions over a padded layout";
  return out;
}

}  // namespace weft::loops
