// Ordering loops: kept, reduced, and the kept loops that are innermost in memory.
#include "kernels/loops/rows_nest.hpp"

#include <algorithm>

namespace weft::loops {
namespace {

std::int64_t product(const Dims& extents) {
  std::int64_t total = 1;
  for (const std::int64_t e : extents) total *= e;
  return total;
}

/// Kept loops, reduced loops, and columns, in one order.
std::vector<Loop> ordered_loops(const Space& space, const Layout& primary) {
  std::vector<Loop> loops = loops_of(primary);
  std::erase_if(loops, [](const Loop& l) { return l.extent == 1; });
  const auto reduced = [&](const Loop& l) { return space.reduced(l.dimension); };
  std::size_t inner = loops.size();
  while (inner > 0 && !reduced(loops[inner - 1])) --inner;
  std::stable_partition(loops.begin(), loops.begin() + static_cast<std::ptrdiff_t>(inner),
                        [&](const Loop& l) { return !reduced(l); });
  return loops;
}

}  // namespace

std::int64_t RowsNest::reduced_elements() const { return product(reduced); }
std::int64_t RowsNest::outer_elements() const { return product(outer); }

RowsNest rows_nest(const Space& space, const SpaceLayouts& layouts) {
  const std::vector<Loop> loops = ordered_loops(space, layouts.primary);
  Nest nest;
  for (const Loop& l : loops) {
    nest.extents.push_back(l.extent);
    nest.kept.push_back(!space.reduced(l.dimension));
  }
  const Graph& body = layouts.body;
  for (const SpaceOperand& o : space.operands())
    nest.strides.push_back(*strides_in(loops, body.layout(o.value), o.map));
  for (const SpaceOutput& o : space.outputs()) nest.strides.push_back(*strides_in(loops, body.layout(o.value), o.map));
  for (const SpaceIota& i : space.iotas()) nest.strides.push_back(index_strides(loops, i.dimension));
  RowsNest result;
  for (int d = 0; d < layouts.primary.shape.rank(); ++d)
    if (layouts.primary.padded(d) != layouts.primary.shape[d]) {
      nest.strides.push_back(index_strides(loops, d));
      result.padded.push_back({{}, layouts.primary.shape[d]});
    }
  nest.collapse();

  const std::size_t count = nest.extents.size();
  result.column_mode = count == 0 || nest.kept.back();
  const std::size_t kept_end = result.column_mode && count > 0 ? count - 1 : count;
  if (kept_end < count) result.columns = nest.extents.back();
  const auto stream = [&](const Dims& strides) {
    Stream s;
    for (std::size_t l = 0; l < kept_end; ++l) (nest.kept[l] ? s.outer : s.reduced).push_back(strides[l]);
    if (kept_end < count) s.column = strides.back();
    return s;
  };
  for (std::size_t l = 0; l < kept_end; ++l) (nest.kept[l] ? result.outer : result.reduced).push_back(nest.extents[l]);
  std::size_t next = 0;
  for (std::size_t i = 0; i < space.operands().size(); ++i) result.operands.push_back(stream(nest.strides[next++]));
  for (std::size_t i = 0; i < space.outputs().size(); ++i) result.outputs.push_back(stream(nest.strides[next++]));
  for (std::size_t i = 0; i < space.iotas().size(); ++i) result.iotas.push_back(stream(nest.strides[next++]));
  for (RowsNest::Padded& p : result.padded) p.index = stream(nest.strides[next++]);
  return result;
}

}  // namespace weft::loops
