// Cutting.
#include "kernels/loops/rows_cuts.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft::loops {
namespace {

constexpr std::int64_t kEnoughPieces = 128;     ///< of parallel work, so that any team shares them evenly
constexpr std::int64_t kFewPieces = 32;         ///< below: a reduction is cut into chunks
constexpr std::int64_t kChunkElements = 16384;  ///< reduced elements worth a chunk of their own
constexpr std::int64_t kTileBytes = 2 << 10;    ///< of all operands of a tile: memory is then read nearly as it runs
constexpr std::int64_t kMomentTiles = 8;        ///< times as much where each tile begins with what moments are about
constexpr std::int64_t kColumnBlock = 4096;     ///< elements of a block without reductions
constexpr std::int64_t kRowBytes = 512 << 10;   ///< of all operands of a row: what a second walk finds in the cache
constexpr std::int64_t kSmallWork = 65536;      ///< elements below which a team is not worth waking anyway
constexpr int kLightWork = 16;                  ///< operations an element

/// Roughly the operations of one element.
int operations(const Space& space) {
  int total = 0;
  for (const SpaceValue& v : space.values())
    if (v.kind == ValueKind::pointwise) {
      const OpClass c = class_of(v.node->op);
      const bool function = c == OpClass::unary && is_library_function(v.node->op);
      total += function || c == OpClass::composite ? 20 : 1;
    }
  return total;
}

std::int64_t element_bytes(const Space& space) {
  std::int64_t bytes = 0;
  for (const SpaceValue& v : space.values())
    if (v.kind == ValueKind::operand && v.varies) bytes += static_cast<std::int64_t>(size_of(v.dtype));
  return std::max<std::int64_t>(bytes, 1);
}

int register_lanes(const Space& space, const RowsSchedule& schedule) {
  std::size_t smallest = 8;
  for (const SpaceValue& v : space.values())
    if (v.kind != ValueKind::constant && v.dtype != DType::boolean) smallest = std::min(smallest, size_of(v.dtype));
  return schedule.register_bytes / (smallest == 8 ? 8 : 4);
}

/// Blocks of `width` columns and what is left of them.
std::vector<ColumnPiece> pieces_of(std::int64_t columns, std::int64_t width) {
  std::vector<ColumnPiece> result;
  const std::int64_t whole = columns / width;
  if (whole > 0) result.push_back({0, width, whole});
  if (columns % width != 0) result.push_back({whole * width, columns % width, 1});
  if (columns == 0) result.push_back({0, 0, 0});
  return result;
}

Chunks cut_reduction(const RowsNest& nest, std::int64_t pieces, std::int64_t width, int lanes) {
  Chunks c;
  if (pieces >= kFewPieces || nest.reduced.empty()) return c;
  const std::int64_t wanted =
      std::clamp<std::int64_t>((nest.reduced_elements() * width + kChunkElements - 1) / kChunkElements, 1,
                               (2 * kFewPieces + pieces - 1) / pieces);
  if (wanted == 1) return c;
  std::int64_t before = 1;
  while (c.loop + 1 < nest.reduced.size() && before * nest.reduced[c.loop] < wanted) before *= nest.reduced[c.loop++];
  const std::int64_t extent = nest.reduced[c.loop];
  std::int64_t count = std::min((wanted + before - 1) / before, extent);
  for (std::int64_t even = count; even <= 2 * count && even <= extent; ++even)
    if (extent % even == 0) {
      count = even;
      break;
    }
  c.length = (extent + count - 1) / count;
  const bool vector = !nest.column_mode && c.loop + 1 == nest.reduced.size();
  if (vector) c.length = (c.length + lanes - 1) / lanes * lanes;
  c.count = (extent + c.length - 1) / c.length;
  c.total = before * c.count;
  return c;
}

/// Whether no result along the rows waits for what the rows reduce to. Moments are taken about a row's first element,
/// which a result over its operand would replace.
bool takes_one_walk(const Space& space) {
  const bool full = std::any_of(space.outputs().begin(), space.outputs().end(), [](const auto& o) { return o.full; });
  if (space.stages() != 1) return false;
  if (!full) return true;
  return std::all_of(space.outputs().begin(), space.outputs().end(),
                     [&](const SpaceOutput& o) {
                       return !o.full || space.values()[static_cast<std::size_t>(o.of)].stage == 0;
                     }) &&
         std::none_of(space.reductions().begin(), space.reductions().end(),
                      [](const SpaceReduction& r) { return r.op == Op::moments; });
}

/// Whether rows that lie side by side in several blocks of columns are better walked as memory runs: tile by tile.
bool cut_into_tiles(RowsCuts& cuts, const Space& space, const RowsNest& nest, const RowsSchedule& schedule) {
  if (!nest.column_mode || nest.columns <= cuts.lanes || nest.outer_elements() >= kFewPieces) return false;
  const Chunks chunks = cut_reduction(nest, nest.outer_elements(), nest.columns, cuts.lanes);
  if (chunks.total <= 1 || chunks.loop + 1 != nest.reduced.size()) return false;
  cuts.chunks = chunks;
  cuts.pieces = pieces_of(nest.columns, nest.columns);
  cuts.shared = nest.outer.size();
  const bool moments = std::any_of(space.reductions().begin(), space.reductions().end(),
                                   [](const SpaceReduction& r) { return r.op == Op::moments; });
  const std::int64_t bytes = kTileBytes * (moments ? kMomentTiles : 1);
  const std::int64_t rows = bytes / (nest.columns * element_bytes(space));
  const int doublings = schedule.tile_doublings;
  cuts.tile = std::clamp<std::int64_t>(
      doublings < 0 ? rows >> -doublings : std::max<std::int64_t>(rows, 1) << doublings, 1, chunks.length);
  cuts.lanes <<= schedule.lane_doublings;
  return true;
}

}  // namespace

RowsCuts cut_rows(const Space& space, const RowsNest& nest, const RowsSchedule& schedule) {
  RowsCuts cuts;
  const int natural = register_lanes(space, schedule);
  const bool heavy = operations(space) > kLightWork;
  const bool reduces = !space.reductions().empty();
  std::int64_t width = 1;
  if (!nest.column_mode) {
    cuts.lanes = heavy || space.reductions().size() > 2 ? natural : 2 * natural;
  } else if (!reduces) {
    cuts.lanes = heavy ? natural : 2 * natural;
    width = std::max<std::int64_t>(nest.columns, 1);
    if (nest.outer_elements() < kEnoughPieces && nest.columns > kColumnBlock) {
      width = kColumnBlock;
      for (std::int64_t w = kColumnBlock; w >= kColumnBlock / 4; w -= 2 * natural)
        if (nest.columns % w == 0) {
          width = w;
          break;
        }
    }
  } else {
    const int most = heavy || space.reductions().size() > 2 ? 2 : 4;
    cuts.lanes = most / 2 * natural;
    for (int n = most; n >= 1; n /= 2)  // code for other numbers of lanes shuffles more than it computes
      if (nest.columns % (n * natural) == 0) {
        cuts.lanes = n * natural;
        break;
      }
    width = std::min<std::int64_t>(cuts.lanes, nest.columns);
  }
  cuts.pieces = pieces_of(nest.columns, width);
  const std::int64_t blocks = (nest.columns + width - 1) / std::max<std::int64_t>(width, 1);
  const std::int64_t pieces = nest.outer_elements() * blocks;
  std::int64_t shared = blocks;
  while (cuts.shared < nest.outer.size() && shared < kEnoughPieces) shared *= nest.outer[cuts.shared++];

  if (!reduces) {
    cuts.lanes <<= std::min(schedule.lane_doublings, 1);  // more never was faster
    return cuts;
  }
  cuts.one_walk = takes_one_walk(space);
  if (cuts.one_walk) {
    if (cut_into_tiles(cuts, space, nest, schedule)) return cuts;
    cuts.chunks = cut_reduction(nest, pieces, width, cuts.lanes);
    return cuts;
  }
  const std::int64_t row_bytes = nest.reduced_elements() * width * element_bytes(space);
  if (nest.elements() <= kSmallWork) return cuts;
  if (pieces < kFewPieces)
    cuts.refusal = fmt::format("{} rows, too few to share among threads before the next stage", pieces);
  else if (row_bytes > kRowBytes)
    cuts.refusal = fmt::format("rows of {} KiB, too long to stay in the cache between stages", row_bytes >> 10);
  return cuts;
}

}  // namespace weft::loops
