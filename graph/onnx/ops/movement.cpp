// Operators that move elements without computing on them.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

Dims iota_dims(int count) {
  Dims dims(static_cast<std::size_t>(count));
  std::iota(dims.begin(), dims.end(), 0);
  return dims;
}

/// ONNX's Reshape: 0 copies an extent (unless `allow_zero`), one -1 is inferred.
Shape reshaped_shape(const Shape& from, Dims target, bool allow_zero) {
  const std::string asked = to_string(target);
  std::int64_t known = 1;
  int inferred = -1;
  for (std::size_t d = 0; d < target.size(); ++d) {
    if (target[d] == 0 && !allow_zero) {
      if (static_cast<int>(d) >= from.rank())
        OpContext::unsupported(
            fmt::format("shape {} copies dimension {}, which {} does not have", asked, d, from.str()));
      target[d] = from[static_cast<int>(d)];
    }
    if (target[d] == -1 && inferred < 0)
      inferred = static_cast<int>(d);
    else if (target[d] < 0)
      OpContext::unsupported(fmt::format("shape {} is not one", asked));
    else if (__builtin_mul_overflow(known, target[d], &known))
      OpContext::unsupported(fmt::format("shape {} is too large", asked));
  }
  if (inferred >= 0) target[static_cast<std::size_t>(inferred)] = known > 0 ? from.elements() / known : 0;
  const std::int64_t total = inferred >= 0 ? known * target[static_cast<std::size_t>(inferred)] : known;
  if (total != from.elements())
    OpContext::unsupported(fmt::format(
        "a tensor of shape {} ({} elements) does not fit the shape {} that the file fixes. If the batch differs from "
        "the one that the model was exported for, export it with a dynamic batch dimension, or use that batch",
        from.str(), from.elements(), asked));
  return Shape(std::move(target));
}

Values import_reshape(OpContext& c) {
  const Dims target = c.version() >= 5 ? c.constant_dims(1, "the new shape") : c.integers("shape");
  return {c.b.reshape(c.in(0), reshaped_shape(c.shape(0), target, c.integer("allowzero", 0) != 0))};
}

Values import_flatten(OpContext& c) {
  const std::int64_t given = c.integer("axis", 1);
  const int axis = given == c.rank(0) ? c.rank(0) : normalize_axis(given, c.rank(0));
  std::int64_t rows = 1, columns = 1;
  for (int d = 0; d < c.rank(0); ++d) (d < axis ? rows : columns) *= c.shape(0)[d];
  return {c.b.reshape(c.in(0), Shape{rows, columns})};
}

Values import_squeeze(OpContext& c) {
  const auto axes = c.axes_argument("axes", 1, 13);
  std::vector<bool> drop(static_cast<std::size_t>(c.rank(0)), false);
  for (int d = 0; d < c.rank(0); ++d) drop[static_cast<std::size_t>(d)] = !axes && c.shape(0)[d] == 1;
  for (const std::int64_t axis : axes.value_or(Dims{})) {
    const int d = normalize_axis(axis, c.rank(0));
    if (c.shape(0)[d] != 1)
      OpContext::unsupported(fmt::format("dimension {} of {} is not 1 and cannot be dropped", d, c.shape(0).str()));
    drop[static_cast<std::size_t>(d)] = true;
  }
  Dims extents;
  for (int d = 0; d < c.rank(0); ++d)
    if (!drop[static_cast<std::size_t>(d)]) extents.push_back(c.shape(0)[d]);
  return {c.b.reshape(c.in(0), Shape(extents))};
}

Values import_unsqueeze(OpContext& c) {
  const auto axes = c.axes_argument("axes", 1, 13);
  if (!axes) OpContext::unsupported("axes are left out");
  const int rank = c.rank(0) + static_cast<int>(axes->size());
  std::vector<bool> fresh(static_cast<std::size_t>(rank), false);
  for (const std::int64_t axis : *axes) {
    auto&& flag = fresh[static_cast<std::size_t>(normalize_axis(axis, rank))];
    if (flag) OpContext::unsupported("an axis is named twice");
    flag = true;
  }
  Dims extents;
  int next = 0;
  for (int d = 0; d < rank; ++d) extents.push_back(fresh[static_cast<std::size_t>(d)] ? 1 : c.shape(0)[next++]);
  return {c.b.reshape(c.in(0), Shape(extents))};
}

Values import_transpose(OpContext& c) {
  Dims order = iota_dims(c.rank(0));
  std::reverse(order.begin(), order.end());
  return {c.b.transpose(c.in(0), c.integers("perm", order))};
}

Values import_concat(OpContext& c) {
  for (int i = 0; i < c.size(); ++i) static_cast<void>(c.in(i));
  return {c.b.concat(c.operands(), c.axis(1, c.rank(0)))};
}

/// The part [start, limit) of one dimension.
ValueId slice_axis(GraphBuilder& b, ValueId x, int axis, std::int64_t start, std::int64_t limit) {
  Dims starts(static_cast<std::size_t>(b.shape(x).rank()), 0), limits = b.shape(x).extents();
  starts[static_cast<std::size_t>(axis)] = start;
  limits[static_cast<std::size_t>(axis)] = limit;
  return b.slice(x, starts, limits, Dims(starts.size(), 1));
}

Values import_split(OpContext& c) {
  const int axis = c.axis(0, c.rank(0));
  const std::int64_t extent = c.shape(0)[axis];
  Dims sizes = c.axes_argument("split", 1, 13).value_or(Dims{});
  if (sizes.empty()) {
    const std::int64_t parts =
        c.version() >= 18 ? c.integer("num_outputs", c.node().output_size()) : c.node().output_size();
    if (parts <= 0 || parts > c.node().output_size() || (c.version() < 18 && extent % parts != 0))
      OpContext::unsupported(fmt::format("{} cannot be cut into {} equal parts", extent, parts));
    const std::int64_t size = (extent + parts - 1) / parts;
    for (std::int64_t p = 0; p < parts; ++p) sizes.push_back(std::clamp<std::int64_t>(extent - p * size, 0, size));
  }
  Values parts;
  std::int64_t at = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > extent - at)
      OpContext::unsupported(fmt::format("parts {} do not fit extent {}", to_string(sizes), extent));
    parts.push_back(slice_axis(c.b, c.in(0), axis, at, at + size));
    at += size;
  }
  if (at != extent) OpContext::unsupported(fmt::format("parts {} do not add up to {}", to_string(sizes), extent));
  return parts;
}

struct SliceRange {
  std::int64_t start, limit, step;
};

/// One dimension's range, clamped as ONNX prescribes; a negative step is turned into a positive one over the reversed
/// axis.
SliceRange clamped_range(std::int64_t extent, std::int64_t start, std::int64_t end, std::int64_t step) {
  if (extent == 0) return {0, 0, 1};
  const auto from_end = [&](std::int64_t i) { return i < 0 ? i + extent : i; };
  if (step > 0) {
    const std::int64_t s = std::clamp<std::int64_t>(from_end(start), 0, extent);
    return {s, std::max(s, std::clamp<std::int64_t>(from_end(end), 0, extent)), step};
  }
  const std::int64_t s = std::clamp<std::int64_t>(from_end(start), 0, extent - 1);
  const std::int64_t e = std::clamp<std::int64_t>(from_end(end), -1, extent - 1);
  // Positions s, s+step, ... > e are positions extent-1-s, ... < extent-1-e of the reversed axis.
  const std::int64_t reversed = extent - 1 - s;
  return {reversed, std::max(reversed, extent - 1 - e),
          step == std::numeric_limits<std::int64_t>::min() ? extent : -step};
}

Values import_slice(OpContext& c) {
  Dims starts, ends, axes, steps;
  if (c.version() < 10) {
    starts = c.integers("starts"), ends = c.integers("ends"), axes = c.integers("axes");
  } else {
    starts = c.constant_dims(1, "the starts"), ends = c.constant_dims(2, "the ends");
    if (c.has(3)) axes = c.constant_dims(3, "the axes");
    if (c.has(4)) steps = c.constant_dims(4, "the steps");
  }
  if (axes.empty()) axes = iota_dims(static_cast<int>(starts.size()));
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    OpContext::unsupported("starts, ends, axes and steps have different lengths");
  const auto rank = static_cast<std::size_t>(c.rank(0));
  Dims low(rank, 0), high = c.shape(0).extents(), stride(rank, 1), reversed;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const int axis = normalize_axis(axes[i], c.rank(0));
    const auto d = static_cast<std::size_t>(axis);
    if (steps[i] == 0) OpContext::unsupported("a step is zero");
    const SliceRange range = clamped_range(c.shape(0)[axis], starts[i], ends[i], steps[i]);
    low[d] = range.start, high[d] = range.limit, stride[d] = range.step;
    if (steps[i] < 0) reversed.push_back(axis);
  }
  ValueId x = c.in(0);
  if (!reversed.empty()) x = c.b.one(Op::reverse, {x}, {{"dims", reversed}});
  return {c.b.slice(x, low, high, stride)};
}

Values import_tile(OpContext& c) {
  Dims repeats;
  if (c.version() >= 6) {
    repeats = c.constant_dims(1, "the repeats");
  } else {
    repeats.assign(static_cast<std::size_t>(c.rank(0)), 1);
    repeats[static_cast<std::size_t>(normalize_axis(c.constant_int(2, "the axis"), c.rank(0)))] =
        c.constant_int(1, "the tiles");
  }
  if (static_cast<int>(repeats.size()) != c.rank(0)) OpContext::unsupported("one repeat is needed per dimension");
  Dims wide, result, dims;
  for (int d = 0; d < c.rank(0); ++d) {
    const std::int64_t repeat = repeats[static_cast<std::size_t>(d)];
    if (repeat < 0) OpContext::unsupported("a repeat is negative");
    wide.insert(wide.end(), {repeat, c.shape(0)[d]});
    dims.push_back(2 * d + 1);
    result.push_back(Shape{repeat, c.shape(0)[d]}.elements());
  }
  return {c.b.reshape(c.b.broadcast_in(c.in(0), Shape(wide), dims), Shape(result))};
}

Values import_expand(OpContext& c) {
  const Shape target(c.constant_dims(1, "the shape"));
  return {c.b.broadcast_to(c.in(0), broadcast_shapes(c.shape(0), target))};
}

Values import_depth_to_space(OpContext& c) {
  const std::int64_t block = c.integer("blocksize", 0);
  if (c.rank(0) != 4 || block <= 0) OpContext::unsupported("needs a 4-dimensional operand and a positive blocksize");
  const Shape s = c.shape(0);
  if (s[1] % (block * block) != 0) OpContext::unsupported("channels are not a multiple of blocksize squared");
  const std::int64_t depth = s[1] / (block * block);
  const bool dcr = c.text("mode", "DCR") == "DCR";
  const Shape split = dcr ? Shape{s[0], block, block, depth, s[2], s[3]} : Shape{s[0], depth, block, block, s[2], s[3]};
  const Dims order = dcr ? Dims{0, 3, 4, 1, 5, 2} : Dims{0, 1, 4, 2, 5, 3};
  return {
      c.b.reshape(c.b.transpose(c.b.reshape(c.in(0), split), order), Shape{s[0], depth, s[2] * block, s[3] * block})};
}

Values import_space_to_depth(OpContext& c) {
  const std::int64_t block = c.integer("blocksize", 0);
  if (c.rank(0) != 4 || block <= 0) OpContext::unsupported("needs a 4-dimensional operand and a positive blocksize");
  const Shape s = c.shape(0);
  if (s[2] % block != 0 || s[3] % block != 0) OpContext::unsupported("extents are not multiples of blocksize");
  const ValueId split = c.b.reshape(c.in(0), Shape{s[0], s[1], s[2] / block, block, s[3] / block, block});
  const bool dcr = c.text("mode", "DCR") == "DCR";
  const Dims order = dcr ? Dims{0, 3, 5, 1, 2, 4} : Dims{0, 1, 3, 5, 2, 4};
  return {c.b.reshape(c.b.transpose(split, order), Shape{s[0], s[1] * block * block, s[2] / block, s[3] / block})};
}

constexpr OpRow kMovementRows[] = {
    {"Reshape", import_reshape},
    {"Flatten", import_flatten},
    {"Squeeze", import_squeeze},
    {"Unsqueeze", import_unsqueeze},
    {"Transpose", import_transpose},
    {"Concat", import_concat},
    {"Split", import_split},
    {"Slice", import_slice},
    {"Tile", import_tile},
    {"Expand", import_expand},
    {"DepthToSpace", import_depth_to_space},
    {"SpaceToDepth", import_space_to_depth},
};

}  // namespace

std::span<const OpRow> movement_rows() { return kMovementRows; }

}  // namespace weft::onnx
