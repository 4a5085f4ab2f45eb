// Pieces of networks, longer than what single steps come to: chains of convolutions in which layouts are preferred
// together, branches that are concatenated and cut, and weights whose updates share launches.
#include <algorithm>

#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

ValueId convolved(Drawing& d, ValueId x, std::int64_t filters, std::int64_t taps, std::int64_t stride,
                  std::int64_t groups) {
  GraphBuilder& b = d.b;
  const std::int64_t pad = taps / 2;
  const ConvWindow window{{stride, stride}, {pad, pad}, {pad, pad}, {1, 1}, groups};
  return b.conv(x, d.weight(b.dtype(x), {filters, b.shape(x)[1] / groups, taps, taps}), window);
}

ValueId biased(Drawing& d, ValueId x) {
  const Shape shape = d.b.shape(x);
  return d.b.add(x, d.b.broadcast_in(d.weight(d.b.dtype(x), {shape[1]}), shape, {1}));
}

ValueId normalised(Drawing& d, ValueId x) {
  const Shape channels{d.b.shape(x)[1]};
  const DType type = d.b.dtype(x);
  return d.b.node(Op::batch_norm, {x, d.weight(type, channels), d.weight(type, channels)},
                  {{"axis", std::int64_t{1}}, {"epsilon", 0.1}, {"groups", std::int64_t{1}}})[0];
}

ValueId pooled(Drawing& d, ValueId x) {
  const bool overlapping = d.dice.chance(50);
  const std::int64_t taps = overlapping ? 3 : 2, pad = overlapping ? 1 : 0;
  if (d.b.shape(x)[2] < 2 || d.b.shape(x)[3] < 2) return x;
  return d.b.pool(d.dice.pick({Op::reduce_window_max, Op::reduce_window_max, Op::reduce_window_sum}), x,
                  {{1, 1, taps, taps}, {1, 1, 2, 2}, {0, 0, pad, pad}, {0, 0, pad, pad}, {1, 1, 1, 1}});
}

/// Two convolutions of x, side by side or one after the other's part.
ValueId branched(Drawing& d, ValueId x) {
  GraphBuilder& b = d.b;
  const ValueId left = convolved(d, x, d.dice.pick<std::int64_t>({3, 8, 16, 24}), 1, 1, 1),
                right = d.dice.chance(50) ? x : convolved(d, x, d.dice.pick<std::int64_t>({4, 16, 20}), 3, 1, 1);
  const ValueId both = b.concat({left, right}, 1);
  if (d.dice.chance(50)) return both;
  const Shape shape = b.shape(both);
  const std::int64_t from = d.dice.roll(0, shape[1] - 1);
  return b.slice(both, {0, from, 0, 0}, {shape[0], shape[1], shape[2], shape[3]}, {1, 1, 1, 1});
}

ValueId activated(Drawing& d, ValueId x) {
  GraphBuilder& b = d.b;
  if (d.dice.chance(40)) return b.binary(Op::minimum, b.binary(Op::maximum, x, b.like(x, 0)), b.like(x, 6));
  return b.unary(d.dice.pick({Op::relu, Op::relu, Op::silu, Op::tanh}), x);
}

/// Channels made more, filtered one by one with what normalises them around, now and then read by others too.
ValueId separable(Drawing& d, ValueId x) {
  GraphBuilder& b = d.b;
  const std::int64_t channels = d.dice.pick<std::int64_t>({2, 7, 16, 20, 24, 32, 40});
  ValueId y = convolved(d, x, channels, 1, 1, 1);
  if (d.dice.chance(80)) y = normalised(d, y);
  if (d.dice.chance(80)) y = activated(d, y);
  if (d.dice.chance(10)) d.add(y);
  Dims filter{channels, 1};
  ConvWindow window;
  window.groups = channels;
  for (int i = 0; i < 2; ++i) {
    filter.push_back(d.dice.pick<std::int64_t>({1, 3, 3, 3, 5}));
    window.strides.push_back(d.dice.pick<std::int64_t>({1, 1, 2, 3}));
    window.dilations.push_back(d.dice.chance(20) ? 2 : 1);
    const std::int64_t reach = (filter.back() - 1) * window.dilations.back(), extent = b.shape(y)[i + 2];
    const std::int64_t least = std::max<std::int64_t>(0, reach + 1 - extent);
    window.pads_low.push_back(std::max(least, d.dice.chance(70) ? reach / 2 : d.dice.roll(0, 3)));
    window.pads_high.push_back(d.dice.chance(70) ? reach / 2 : d.dice.roll(0, 3));
  }
  const ValueId w = d.weight(b.dtype(y), Shape(filter));
  ValueId z = b.conv(y, w, window);
  if (d.dice.chance(10)) z = b.add(z, b.conv(y, w, window));
  if (d.dice.chance(10)) d.add(z);
  if (d.dice.chance(70)) z = normalised(d, z);
  return d.dice.chance(60) ? activated(d, z) : z;
}

ValueId layer(Drawing& d, ValueId x) {
  GraphBuilder& b = d.b;
  const std::int64_t channels = b.shape(x)[1];
  switch (d.dice.roll(0, 9)) {
    case 0: return pooled(d, x);
    case 1: return branched(d, x);
    case 2: return convolved(d, x, channels, 3, d.dice.roll(1, 2), channels);  // depthwise
    case 3: return b.add(convolved(d, x, channels, 3, 1, 1), x);
    case 4:
    case 5: return separable(d, x);
    default: break;
  }
  ValueId y = convolved(d, x, d.dice.pick<std::int64_t>({3, 8, 16, 20, 24, 32, 40}), d.dice.chance(50) ? 1 : 3,
                        d.dice.chance(75) ? 1 : 2, 1);
  y = d.dice.chance(40) ? normalised(d, y) : d.dice.chance(60) ? biased(d, y) : y;
  return d.dice.chance(70) ? b.unary(Op::relu, y) : y;
}

void images(Drawing& d) {
  const DType type = d.dice.pick({DType::f32, DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16});
  ValueId x = d.fresh(type, {d.dice.chance(2) ? 0 : d.dice.roll(1, 2), d.dice.pick<std::int64_t>({1, 3, 8, 16, 24}),
                             d.dice.roll(3, 9), d.dice.roll(3, 9)});
  for (std::int64_t n = d.dice.roll(2, 4); n > 0; --n) {
    x = layer(d, x);
    if (d.dice.chance(20)) d.add(x);
  }
  if (d.dice.chance(40)) x = d.b.mean(x, {2, 3});
  d.add(x);
}

/// Rows through matrices, with normalisations between them, perhaps the same matrix again.
void rows(Drawing& d) {
  GraphBuilder& b = d.b;
  const DType type = d.dice.pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64});
  ValueId x = d.fresh(type, {d.dice.roll(1, 3), d.dice.roll(1, 9), d.extent()});
  ValueId shared = kNone;
  for (std::int64_t n = d.dice.roll(2, 4); n > 0; --n) {
    const std::int64_t width = b.shape(x)[2];
    if (width == 0) break;
    const bool again = shared != kNone && b.shape(shared)[0] == width && d.dice.chance(60);
    if (!again) shared = d.weight(type, {width, d.dice.chance(60) ? width : d.dice.roll(1, 33)});
    ValueId y = b.matmul(x, shared);
    const Shape last{b.shape(y)[2]};
    if (d.dice.chance(60)) y = b.add(y, d.weight(type, last));
    if (d.dice.chance(40)) y = b.unary(d.dice.pick({Op::relu, Op::tanh, Op::silu}), y);
    if (b.shape(y) == b.shape(x) && d.dice.chance(50)) y = b.add(x, y);
    if (d.dice.chance(40))
      y = b.one(Op::layer_norm, {y, d.weight(type, last), d.weight(type, last)},
                {{"axis", std::int64_t{2}}, {"epsilon", 0.1}});
    x = y;
  }
  d.add(x);
}

}  // namespace

void draw_network(Drawing& d) { d.dice.chance(65) ? images(d) : rows(d); }

}  // namespace weft::fuzz
