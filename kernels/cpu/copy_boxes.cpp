// Loops are ordered as the result is written; the read order decides between runs, fills, transposes and gathers.
#include "kernels/cpu/copy_boxes.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/parallel.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kRunTile = 16384;     ///< elements of a chunk of contiguous runs
constexpr std::int64_t kTransposeTile = 64;  ///< side of a chunk of a transpose

/// Sorts by written stride, drops extents of 1, merges what both sides walk as one loop.
std::vector<CopyLoop> collapsed(std::vector<CopyLoop> loops) {
  std::erase_if(loops, [](const CopyLoop& l) { return l.extent == 1; });
  std::stable_sort(loops.begin(), loops.end(),
                   [](const CopyLoop& a, const CopyLoop& b) { return std::abs(a.to) > std::abs(b.to); });
  std::vector<CopyLoop> result;
  for (const CopyLoop& l : loops) {
    if (!result.empty() && result.back().to == l.to * l.extent && result.back().from == l.from * l.extent)
      result.back() = {result.back().extent * l.extent, l.from, l.to};
    else
      result.push_back(l);
  }
  return result;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <class T>
void copy_runs(const T* from, T* to, const CopyLoop& rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows.extent; ++r) {
    const T* source = from + r * rows.from;
    T* target = to + r * rows.to;
    // Blocks of common layouts, as single moves.
    if (columns * sizeof(T) == 64)
      std::memcpy(target, source, 64);
    else if (columns * sizeof(T) == 32)
      std::memcpy(target, source, 32);
    else
      std::memcpy(target, source, static_cast<std::size_t>(columns) * sizeof(T));
  }
}

/// Rows are read contiguously, columns written contiguously: squares small enough for the first-level cache to keep
/// the lines of both sides.
template <class T>
void transpose(const T* from, T* to, const CopyLoop& rows, const CopyLoop& columns) {
  constexpr std::int64_t kSide = 16;
  for (std::int64_t r0 = 0; r0 < rows.extent; r0 += kSide) {
    const std::int64_t r1 = std::min(rows.extent, r0 + kSide);
    for (std::int64_t c0 = 0; c0 < columns.extent; c0 += kSide) {
      const std::int64_t c1 = std::min(columns.extent, c0 + kSide);
      for (std::int64_t r = r0; r < r1; ++r)
        for (std::int64_t c = c0; c < c1; ++c) to[r * rows.to + c] = from[r + c * columns.from];
    }
  }
}

template <class T>
void copy_strided(const T* from, T* to, CopyLoop rows, CopyLoop columns) {
  if (columns.extent < rows.extent) std::swap(rows, columns);
  for (std::int64_t r = 0; r < rows.extent; ++r) {
    const T* source = from + r * rows.from;
    T* target = to + r * rows.to;
    for (std::int64_t c = 0; c < columns.extent; ++c) target[c * columns.to] = source[c * columns.from];
  }
}

template <class T>
void copy_tile(const T* from, T* to, const CopyLoop& rows, const CopyLoop& columns) {
  if (columns.to == 1 && columns.from == 1) return copy_runs(from, to, rows, columns.extent);
  if (columns.to == 1 && columns.from == 0) {
    for (std::int64_t r = 0; r < rows.extent; ++r) std::fill_n(to + r * rows.to, columns.extent, from[r * rows.from]);
    return;
  }
  if (columns.to == 1 && rows.from == 1) return transpose(from, to, rows, columns);
  copy_strided(from, to, rows, columns);
}

}  // namespace

BoxCopier::BoxCopier(std::vector<CopyBox> boxes, std::size_t size, int threads) : size_(size), threads_(threads) {
  for (const CopyBox& box : boxes) {
    if (box.elements() == 0) continue;
    boxes_.push_back(prepare(box));
    boxes_.back().first = elements_;
    elements_ += boxes_.back().elements;
  }
}

BoxCopier::Prepared BoxCopier::prepare(const CopyBox& box) {
  Prepared p;
  p.source = box.source, p.from = box.from, p.to = box.to;
  p.elements = box.elements();
  std::vector<CopyLoop> loops = collapsed(box.loops);
  if (!loops.empty()) {
    p.columns = loops.back();
    loops.pop_back();
  }
  if (!loops.empty()) {
    // Beside runs, the next loop outwards; else the one that reads nearest by.
    auto rows = loops.end() - 1;
    if (std::abs(p.columns.from) > 1) {
      for (auto l = loops.begin(); l != loops.end(); ++l)
        if (std::abs(l->from) != 0 && (std::abs(l->from) < std::abs(rows->from) || rows->from == 0)) rows = l;
    }
    p.rows = *rows;
    loops.erase(rows);
  }
  const bool transposed = p.columns.to == 1 && p.rows.from == 1 && std::abs(p.columns.from) > 1;
  p.tile_columns = std::min(p.columns.extent, transposed ? kTransposeTile : kRunTile);
  p.tile_rows = std::min(p.rows.extent, transposed ? std::max(kTransposeTile, 1024 / p.tile_columns)
                                                   : std::max<std::int64_t>(1, kRunTile / p.tile_columns));
  p.outer = std::move(loops);
  p.outer.push_back({ceil_div(p.rows.extent, p.tile_rows), p.rows.from * p.tile_rows, p.rows.to * p.tile_rows});
  p.outer.push_back(
      {ceil_div(p.columns.extent, p.tile_columns), p.columns.from * p.tile_columns, p.columns.to * p.tile_columns});
  p.chunks = 1;
  for (const CopyLoop& l : p.outer) p.chunks *= l.extent;
  p.chunk_elements = ceil_div(p.elements, p.chunks);
  return p;
}

void BoxCopier::run(std::span<const std::byte* const> sources, std::byte* to) const {
  parallel_ranges(threads_, elements_, 1, elements_, [&](int, std::int64_t begin, std::int64_t end) {
    switch (size_) {
      case 1: copy(sources, reinterpret_cast<std::uint8_t*>(to), begin, end); break;
      case 2: copy(sources, reinterpret_cast<std::uint16_t*>(to), begin, end); break;
      case 4: copy(sources, reinterpret_cast<std::uint32_t*>(to), begin, end); break;
      default: copy(sources, reinterpret_cast<std::uint64_t*>(to), begin, end); break;
    }
  });
}

template <class T>
void BoxCopier::copy(std::span<const std::byte* const> sources, T* to, std::int64_t begin, std::int64_t end) const {
  auto box = std::upper_bound(boxes_.begin(), boxes_.end(), begin,
                              [](std::int64_t at, const Prepared& p) { return at < p.first + p.elements; });
  for (; box != boxes_.end() && box->first < end; ++box) {
    // A chunk belongs to the thread in whose range it would start if all chunks were equal.
    const auto chunk = [&](std::int64_t at) {
      if (at >= box->first + box->elements) return box->chunks;
      return std::min(box->chunks, ceil_div(std::max<std::int64_t>(at - box->first, 0), box->chunk_elements));
    };
    copy_chunks(*box, reinterpret_cast<const T*>(sources[static_cast<std::size_t>(box->source)]) + box->from,
                to + box->to, chunk(begin), chunk(end));
  }
}

template <class T>
void BoxCopier::copy_chunks(const Prepared& box, const T* from, T* to, std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  constexpr std::size_t kMostLoops = 128;
  std::int64_t index[kMostLoops];
  std::int64_t rest = begin, from_at = 0, to_at = 0;
  const std::size_t loops = box.outer.size();
  for (std::size_t l = loops; l-- > 0;) {
    index[l] = rest % box.outer[l].extent;
    rest /= box.outer[l].extent;
    from_at += index[l] * box.outer[l].from;
    to_at += index[l] * box.outer[l].to;
  }
  for (std::int64_t c = begin; c < end; ++c) {
    CopyLoop rows = box.rows, columns = box.columns;
    rows.extent = std::min(box.tile_rows, rows.extent - index[loops - 2] * box.tile_rows);
    columns.extent = std::min(box.tile_columns, columns.extent - index[loops - 1] * box.tile_columns);
    copy_tile(from + from_at, to + to_at, rows, columns);
    for (std::size_t l = loops; l-- > 0;) {
      const CopyLoop& loop = box.outer[l];
      from_at += loop.from, to_at += loop.to;
      if (++index[l] < loop.extent) break;
      from_at -= loop.from * loop.extent, to_at -= loop.to * loop.extent;
      index[l] = 0;
    }
  }
}

}  // namespace weft::cpu
