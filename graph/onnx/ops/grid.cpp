// Sampling at computed positions: GridSample, AffineGrid, and overlapping blocks put back together (Col2Im).
#include <fmt/format.h>

#include <array>

#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

struct Sampling {
  std::string padding;
  bool align_corners = false;
};

ValueId number(GraphBuilder& b, ValueId like, double value) { return b.like(like, value); }

ValueId clamped(GraphBuilder& b, ValueId x, double low, double high) {
  return b.binary(Op::minimum, b.binary(Op::maximum, x, number(b, x, low)), number(b, x, high));
}

/// Mirrored at the borders as often as it takes: a triangle wave of the distance to the lower border.
ValueId reflected(GraphBuilder& b, ValueId x, double low, double high) {
  const double range = high - low;
  if (range <= 0) return b.like(x, low);
  const ValueId from = b.unary(Op::abs, b.sub(x, number(b, x, low)));
  const ValueId turns = b.unary(Op::floor, b.div(from, number(b, x, 2 * range)));
  const ValueId rest = b.sub(from, b.mul(turns, number(b, x, 2 * range)));  // in [0, 2 range)
  const ValueId folded = b.binary(Op::minimum, rest, b.sub(number(b, x, 2 * range), rest));
  return b.add(folded, number(b, x, low));
}

/// Of each output position, where it lies along one axis of the operand, in its elements.
ValueId position(GraphBuilder& b, ValueId grid, int axis, std::int64_t extent, const Sampling& s) {
  const Shape shape = b.shape(grid);
  const int last = shape.rank() - 1, component = static_cast<int>(shape[last]) - 1 - axis;  // the grid says x, y, z
  Dims start(static_cast<std::size_t>(shape.rank()), 0), limit = shape.extents();
  start.back() = component, limit.back() = component + 1;
  const ValueId n = b.reshape(b.slice(grid, start, limit, Dims(start.size(), 1)),
                              Shape{shape[0], shape.elements() / shape[0] / shape[last]});
  const auto length = static_cast<double>(extent);
  if (s.align_corners) return b.mul(b.add(n, number(b, n, 1)), number(b, n, (length - 1) / 2));
  return b.sub(b.mul(b.add(n, number(b, n, 1)), number(b, n, length / 2)), number(b, n, 0.5));
}

/// Positions outside, before interpolation, as the padding says.
ValueId padded_position(GraphBuilder& b, ValueId x, std::int64_t extent, const Sampling& s) {
  const auto length = static_cast<double>(extent);
  if (s.padding == "border") return clamped(b, x, 0, length - 1);
  if (s.padding != "reflection") return x;
  return s.align_corners ? reflected(b, x, 0, length - 1) : reflected(b, x, -0.5, length - 0.5);
}

/// One neighbour along one axis: its index, inside the operand, and its weight.
struct Tap {
  ValueId index = kNone, weight = kNone;
};

Tap tap_at(GraphBuilder& b, ValueId place, ValueId weight, std::int64_t extent, const Sampling& s) {
  const auto length = static_cast<double>(extent);
  if (s.padding == "zeros") {
    const ValueId inside = b.binary(Op::logical_and, b.binary(Op::greater_equal, place, number(b, place, 0)),
                                    b.binary(Op::less, place, number(b, place, length)));
    weight = b.select(inside, weight, b.like(weight, 0));
  } else if (s.padding == "reflection") {
    place = s.align_corners ? reflected(b, place, 0, length - 1) : reflected(b, place, -0.5, length - 0.5);
  }
  return {b.cast(b.unary(Op::floor, clamped(b, place, 0, length - 1)), DType::i64), weight};
}

/// Keys' cubic convolution with a = -0.75, at distance `t` (0 to 2) from the neighbour.
ValueId cubic_weight(GraphBuilder& b, ValueId t, bool near) {
  constexpr double a = -0.75;
  const auto polynomial = [&](std::array<double, 4> k) {
    ValueId sum = number(b, t, k[3]);
    for (int i = 2; i >= 0; --i) sum = b.add(b.mul(sum, t), number(b, t, k[static_cast<std::size_t>(i)]));
    return sum;
  };
  return near ? polynomial({1, 0, -(a + 3), a + 2}) : polynomial({-4 * a, 8 * a, -5 * a, a});
}

std::vector<Tap> taps_along(GraphBuilder& b, ValueId x, const std::string& mode, std::int64_t extent,
                            const Sampling& s) {
  if (mode == "nearest") {
    const ValueId place = padded_position(b, b.unary(Op::round_even, x), extent, s);
    return {tap_at(b, place, b.like(x, 1), extent, s)};
  }
  x = padded_position(b, x, extent, s);
  const ValueId low = b.one(Op::stop_gradient, {b.unary(Op::floor, x)}), part = b.sub(x, low);
  std::vector<Tap> taps;
  const int first = mode == "cubic" ? -1 : 0, last = mode == "cubic" ? 2 : 1;
  for (int i = first; i <= last; ++i) {
    const ValueId distance = i <= 0 ? b.sub(part, number(b, part, i)) : b.sub(number(b, part, i), part);
    const ValueId weight =
        mode == "cubic" ? cubic_weight(b, distance, i == 0 || i == 1) : b.sub(number(b, part, 1), distance);
    taps.push_back(tap_at(b, b.add(low, number(b, low, i)), weight, extent, s));
  }
  return taps;
}

/// [batch, positions, channels]: the elements of x [batch, elements, channels] at flat indices [batch, positions].
ValueId gathered(GraphBuilder& b, ValueId x, ValueId index) {
  const Shape shape = b.shape(index);
  return b.one(Op::gather_nd, {x, b.reshape(index, Shape{shape[0], shape[1], 1})}, {{"batch_dims", std::int64_t{1}}});
}

Values import_grid_sample(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape x = c.shape(0), grid = c.shape(1);
  const int spatial = x.rank() - 2;
  if (spatial < 1 || grid.rank() != x.rank() || grid[grid.rank() - 1] != spatial || grid[0] != x[0])
    OpContext::unsupported(fmt::format("a grid of shape {} does not fit an operand of shape {}", grid.str(), x.str()));
  if (spatial > 3) OpContext::unsupported(fmt::format("{} spatial dimensions; up to 3 are supported", spatial));
  if (x.elements() == 0 || grid.elements() == 0) OpContext::unsupported("empty operands");
  std::string mode = c.text("mode", c.version() < 20 ? "bilinear" : "linear");
  if (mode == "bilinear") mode = "linear";
  if (mode == "bicubic") mode = "cubic";
  const Sampling s{c.text("padding_mode", "zeros"), c.integer("align_corners", 0) != 0};
  if ((mode != "linear" && mode != "cubic" && mode != "nearest") ||
      (s.padding != "zeros" && s.padding != "border" && s.padding != "reflection"))
    OpContext::unsupported(fmt::format("mode '{}' with padding '{}'", mode, s.padding));
  Dims order = {0};
  for (int d = 0; d < spatial; ++d) order.push_back(d + 2);
  order.push_back(1);
  const std::int64_t elements = x.elements() / x[0] / x[1], positions = grid.elements() / grid[0] / spatial;
  const ValueId flat = b.reshape(b.transpose(c.in(0), order), Shape{x[0], elements, x[1]});
  const ValueId at = is_float(c.dtype(1)) ? b.wide(c.in(1)) : c.in(1);
  std::vector<Tap> taps = {{kNone, kNone}};  // of all axes together
  for (int d = 0; d < spatial; ++d) {
    std::vector<Tap> more;
    for (const Tap& along : taps_along(b, position(b, at, d, x[d + 2], s), mode, x[d + 2], s))
      for (const Tap& before : taps)
        more.push_back(
            before.index == kNone
                ? along
                : Tap{b.add(b.mul(before.index, b.like(before.index, static_cast<double>(x[d + 2]))), along.index),
                      b.mul(before.weight, along.weight)});
    taps = std::move(more);
  }
  ValueId sum = kNone;
  const Shape one{x[0], positions, 1};
  for (const Tap& tap : taps) {
    const ValueId value = gathered(b, flat, tap.index);
    const ValueId part =
        b.mul(value, b.broadcast_to(b.cast(b.reshape(tap.weight, one), b.dtype(value)), b.shape(value)));
    sum = sum == kNone ? part : b.add(sum, part);
  }
  Dims shape = {x[0], x[1]};
  for (int d = 1; d <= spatial; ++d) shape.push_back(grid[d]);
  return {b.reshape(b.transpose(sum, {0, 2, 1}), Shape(shape))};
}

/// The positions that an affine map sends a regular grid over [-1, 1] to.
Values import_affine_grid(OpContext& c) {
  GraphBuilder& b = c.b;
  const Dims size = c.constant_dims(1, "the size");
  const int spatial = static_cast<int>(size.size()) - 2;
  const Shape theta = c.shape(0);
  if ((spatial != 2 && spatial != 3) || theta != Shape{size[0], spatial, spatial + 1})
    OpContext::unsupported(fmt::format("maps of shape {} do not fit a size of {} extents", theta.str(), size.size()));
  const DType type = c.dtype(0);
  const bool align = c.integer("align_corners", 0) != 0;
  const Shape space(Dims(size.begin() + 2, size.end()));
  const Shape column{space.elements(), 1};
  Values columns;
  for (int d = spatial - 1; d >= 0; --d) {
    const auto extent = static_cast<double>(space[d]);
    const double step = align ? 2 / (extent - 1) : 2 / extent, start = align ? -1 : step / 2 - 1;
    const ValueId i = b.iota(type, space, d);
    columns.push_back(b.reshape(b.add(b.mul(i, b.like(i, step)), b.like(i, start)), column));
  }
  columns.push_back(b.full(type, column, 1));
  Dims shape = {size[0]};
  shape.insert(shape.end(), size.begin() + 2, size.end());
  shape.push_back(spatial);
  const ValueId places = b.matmul(b.concat(columns, 1), b.transpose(c.in(0), {0, 2, 1}));
  return {b.reshape(places, Shape(shape))};
}

Dims or_else(Dims given, std::size_t count, std::int64_t otherwise) {
  return given.empty() ? Dims(count, otherwise) : given;
}

/// Blocks added where they overlap: each element of a block is a strided, shifted image, and images add up.
Values import_col2im(OpContext& c) {
  GraphBuilder& b = c.b;
  const Dims image = c.constant_dims(1, "the image's shape"), block = c.constant_dims(2, "the block's shape");
  const std::size_t rank = image.size();
  const Dims dilations = or_else(c.integers("dilations"), rank, 1), strides = or_else(c.integers("strides"), rank, 1);
  const Dims pads = or_else(c.integers("pads"), 2 * rank, 0);
  const Shape x = c.shape(0);
  if (rank == 0 || block.size() != rank || dilations.size() != rank || strides.size() != rank ||
      pads.size() != 2 * rank || x.rank() != 3)
    OpContext::unsupported("image_shape, block_shape, dilations, pads and strides do not fit each other");
  for (const Dims* list : {&image, &block, &dilations, &strides, &pads})
    for (const std::int64_t value : *list)
      if (value < 0 || value > (std::int64_t{1} << 31))
        OpContext::unsupported("an extent, stride or pad is negative or above 2^31");
  Dims counts;
  for (std::size_t d = 0; d < rank; ++d) {
    if (image[d] < 1 || block[d] < 1 || strides[d] < 1 || dilations[d] < 1 || block[d] > 1024 ||
        dilations[d] > image[d] + pads[d] + pads[d + rank])
      OpContext::unsupported("extents, strides and dilations must be positive and blocks no larger than the image");
    counts.push_back((image[d] + pads[d] + pads[d + rank] - dilations[d] * (block[d] - 1) - 1) / strides[d] + 1);
  }
  const std::int64_t taps = Shape(block).elements();
  if (taps > 4096 || x[1] % taps != 0 || x[2] != Shape(counts).elements())
    OpContext::unsupported(fmt::format("an operand of shape {} does not hold blocks of {} elements", x.str(), taps));
  Dims split = {x[0], x[1] / taps, taps};
  split.insert(split.end(), counts.begin(), counts.end());
  const ValueId blocks = b.reshape(c.in(0), Shape(split));
  const ValueId zero = b.full(c.dtype(0), Shape{}, 0);
  ValueId sum = kNone;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    Dims start(split.size(), 0), limit = split, low = {0, 0}, high = {0, 0}, interior = {0, 0};
    start[2] = tap, limit[2] = tap + 1;
    Dims shape = {split[0], split[1]};
    shape.insert(shape.end(), counts.begin(), counts.end());
    std::int64_t rest = tap;
    Dims offset(rank);
    for (std::size_t d = rank; d-- > 0; rest /= block[d]) offset[d] = rest % block[d];
    for (std::size_t d = 0; d < rank; ++d) {
      const std::int64_t before = offset[d] * dilations[d] - pads[d];
      low.push_back(before);
      interior.push_back(strides[d] - 1);
      high.push_back(image[d] - before - ((counts[d] - 1) * strides[d] + 1));
    }
    const ValueId part = b.reshape(b.slice(blocks, start, limit, Dims(split.size(), 1)), Shape(shape));
    const ValueId placed = b.pad(part, zero, low, high, interior);
    sum = sum == kNone ? placed : b.add(sum, placed);
  }
  return {sum};
}

constexpr OpRow kGridRows[] = {
    {"GridSample", import_grid_sample, 16},
    {"AffineGrid", import_affine_grid, 20},
    {"Col2Im", import_col2im, 18},
};

}  // namespace

std::span<const OpRow> grid_rows() { return kGridRows; }

}  // namespace weft::onnx
