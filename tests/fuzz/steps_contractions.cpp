// Steps that contract: products and convolutions with what follows them in networks, pooling.
#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

/// bias, residual, activation, each perhaps; every value joins the pool, so some are read elsewhere too.
void epilogue(Drawing& d, ValueId y, int channels) {
  GraphBuilder& b = d.b;
  const Shape shape = b.shape(y);
  const DType type = b.dtype(y);
  d.add(y);
  if (shape.rank() > 0 && d.dice.chance(55)) {
    y = b.add(y, b.broadcast_in(d.fresh(type, Shape{shape[channels]}), shape, {channels}));
    d.add(y);
  }
  if (d.dice.chance(25)) d.add(y = b.add(d.same_type(y), y));
  if (is_float(type) && d.dice.chance(45))
    d.add(b.unary(d.dice.pick({Op::relu, Op::relu, Op::tanh, Op::sigmoid, Op::silu}), y));
}

ValueId general_product(Drawing& d, ValueId x) {
  // Each dimension of x is of the batch, contracted or free; y's are made to fit, in an order of its own.
  const Shape shape = d.b.shape(x);
  Dims x_batch, x_contract, extents;
  std::vector<int> kinds;
  for (int i = 0; i < shape.rank(); ++i) {
    const std::int64_t kind = d.dice.roll(0, 4);
    if (kind == 0 && x_batch.size() < 2) {
      x_batch.push_back(i), extents.push_back(shape[i]), kinds.push_back(0);
    } else if (kind <= 2) {
      x_contract.push_back(i), extents.push_back(shape[i]), kinds.push_back(1);
    }
  }
  for (std::int64_t free = d.dice.roll(0, 2); free > 0; --free)
    extents.push_back(d.dice.roll(1, 17)), kinds.push_back(2);
  const Dims order = d.dice.order(static_cast<int>(extents.size()));
  Dims y_extents(extents.size()), y_batch, y_contract;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    y_extents[static_cast<std::size_t>(order[i])] = extents[i];
    if (kinds[i] == 0) y_batch.push_back(order[i]);
    if (kinds[i] == 1) y_contract.push_back(order[i]);
  }
  // Kept in pairs: batch and contracted dimensions of y were listed in the order of x's.
  const Shape y_shape(y_extents);
  if (y_shape.elements() > Drawing::kMostElements) return kNone;
  const auto made = d.any_of(d.b.dtype(x), y_shape);
  const ValueId y = made && d.dice.chance(50) ? *made : d.fresh(d.b.dtype(x), y_shape);
  if (d.dice.chance(25)) return d.b.dot(y, x, y_batch, x_batch, y_contract, x_contract);
  return d.b.dot(x, y, x_batch, y_batch, x_contract, y_contract);
}

/// x as [N, C, spatial...].
ValueId image(Drawing& d) {
  for (int i = 0; i < 3; ++i) {
    const ValueId v = d.any();
    const int rank = d.b.shape(v).rank();
    if (rank >= 3 && d.b.dtype(v) != DType::boolean && d.b.shape(v)[1] > 0) return v;
  }
  Dims extents = {d.dice.roll(1, 3), d.dice.pick<std::int64_t>({1, 3, 4, 8, 16, 24})};
  for (std::int64_t spatial = d.dice.pick<std::int64_t>({1, 2, 2, 2, 3}); spatial > 0; --spatial)
    extents.push_back(d.dice.roll(1, extents.size() > 3 ? 5 : 9));
  const ValueId x = d.fresh(d.float_type(), Shape(std::move(extents)));
  d.add(x);
  return x;
}

}  // namespace

void draw_product(Drawing& d) {
  const auto x = d.any_number();
  if (!x) return;
  const int rank = d.b.shape(*x).rank();
  ValueId y = kNone;
  if (rank >= 1 && d.dice.chance(60)) {
    const Shape w{d.b.shape(*x)[rank - 1], d.extent()};
    y = d.b.matmul(*x, d.fresh(d.b.dtype(*x), w));
  } else {
    y = general_product(d, *x);
  }
  if (y == kNone) return;
  epilogue(d, y, std::max(0, d.b.shape(y).rank() - 1));
}

void draw_convolution(Drawing& d) {
  const ValueId x = image(d);
  const Shape shape = d.b.shape(x);
  const std::int64_t channels = shape[1];
  ConvWindow window;
  window.groups = d.dice.chance(20) ? channels : channels % 2 == 0 && d.dice.chance(20) ? 2 : 1;
  Dims w = {window.groups * d.dice.pick<std::int64_t>({1, 1, 2, 3, 8, 16}), channels / window.groups};
  if (w[0] > 64) w[0] = window.groups;
  for (int i = 2; i < shape.rank(); ++i) {
    const std::int64_t taps = d.dice.chance(25) ? 1 : d.dice.roll(1, 4), dilation = d.dice.chance(80) ? 1 : 2;
    const std::int64_t span = (taps - 1) * dilation + 1, needed = std::max<std::int64_t>(0, span - shape[i]);
    const std::int64_t room = std::max<std::int64_t>(6, span);  // what stays when an element is cropped
    window.strides.push_back(d.dice.chance(65) ? 1 : d.dice.roll(2, 3));
    window.pads_low.push_back(d.dice.roll(0, 2));
    window.pads_high.push_back(needed + d.dice.roll(d.dice.chance(5) && shape[i] > room ? -1 : 0, 2));
    window.dilations.push_back(dilation);
    w.push_back(taps);
  }
  epilogue(d, d.b.conv(x, d.fresh(d.b.dtype(x), Shape(w)), window), 1);
}

void draw_window(Drawing& d) {
  const auto x = d.any_number();
  if (!x || d.b.shape(*x).rank() == 0) return;
  PoolWindow window;
  const int rank = d.b.shape(*x).rank();
  for (int i = 0; i < rank; ++i) {
    const bool windowed = (rank < 3 || i >= 2) ? d.dice.chance(85) : d.dice.chance(8);
    const std::int64_t e = d.b.shape(*x)[i], taps = windowed ? d.dice.roll(1, 3) : 1;
    const std::int64_t dilation = windowed && d.dice.chance(20) ? 2 : 1;
    const std::int64_t needed = windowed ? std::max<std::int64_t>(0, (taps - 1) * dilation + 1 - e) : 0;
    window.window.push_back(taps);
    window.strides.push_back(windowed ? d.dice.roll(1, 3) : 1);
    window.dilations.push_back(dilation);
    window.pads_low.push_back(windowed && d.dice.chance(50) ? d.dice.roll(0, 2) : 0);
    window.pads_high.push_back(needed + (windowed && d.dice.chance(50) ? d.dice.roll(0, 2) : 0));
  }
  d.add(d.b.pool(d.dice.pick({Op::reduce_window_max, Op::reduce_window_sum}), *x, window));
}

}  // namespace weft::fuzz
