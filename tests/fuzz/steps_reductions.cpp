// Steps that reduce: sums and extremes, scans, softmax, normalisations, cross-entropy.
#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

Dims some_dims(Drawing& d, ValueId x) {
  const int rank = d.b.shape(x).rank();
  if (rank > 0 && d.dice.chance(40)) return {d.axis_of(x)};
  if (d.dice.chance(25)) return d.dice.order(rank);
  return d.dice.some(rank, 50);
}

void scan(Drawing& d, ValueId x) {
  if (d.b.shape(x).rank() == 0) return;
  const std::int64_t axis = d.axis_of(x), extent = d.b.shape(x)[static_cast<int>(axis)];
  switch (d.dice.roll(0, 3)) {
    case 0:
      if (extent > 0)
        d.add(d.b.one(d.dice.pick({Op::argmax, Op::argmin}), {x}, {{"axis", axis}, {"last", d.dice.roll(0, 1)}}));
      break;
    case 1:
      for (const ValueId v : d.b.node(Op::top_k, {x},
                                      {{"axis", axis},
                                       {"k", d.dice.roll(0, std::min<std::int64_t>(extent, 6))},
                                       {"largest", d.dice.roll(0, 1)}}))
        d.add(v);
      break;
    default:
      d.add(
          d.b.one(Op::cumsum, {x}, {{"axis", axis}, {"exclusive", d.dice.roll(0, 1)}, {"reverse", d.dice.roll(0, 1)}}));
  }
}

void cross_entropy(Drawing& d, ValueId x) {
  const std::int64_t axis = d.axis_of(x), classes = d.b.shape(x)[static_cast<int>(axis)];
  if (classes == 0) return;
  Dims extents = d.b.shape(x).extents();
  extents.erase(extents.begin() + axis);
  const ValueId labels = d.indices(Shape(extents), classes, true);
  d.add(d.b.one(Op::cross_entropy, {x, labels},
                {{"axis", axis},
                 {"ignore_index", d.dice.pick<std::int64_t>({-100, -1, 0})},
                 {"label_smoothing", d.dice.pick({0.0, 0.0, 0.1})}}));
}

void layer_norm(Drawing& d, ValueId x) {
  const std::int64_t axis = d.axis_of(x);
  const Shape shape(Dims(d.b.shape(x).begin() + axis, d.b.shape(x).end()));
  const DType type = d.b.dtype(x);
  d.add(d.b.one(Op::layer_norm, {x, d.fresh(type, shape), d.fresh(type, shape)},
                {{"axis", axis}, {"epsilon", d.dice.pick({1e-5, 0.1})}}));
}

void batch_norm(Drawing& d, ValueId x) {
  const Shape& shape = d.b.shape(x);
  if (shape.rank() < 2) return;
  const std::int64_t axis = d.dice.chance(70) ? 1 : d.dice.roll(1, shape.rank() - 1);
  const Shape channels{shape[static_cast<int>(axis)]};
  const DType type = d.b.dtype(x);
  const auto fresh = [&] { return d.fresh(type, channels); };
  const double epsilon = d.dice.pick({1e-5, 0.1});
  if (d.dice.chance(25)) {
    const ValueId variance = d.b.add(d.b.unary(Op::abs, fresh()), d.b.full(type, channels, 0.25));
    d.add(d.b.one(Op::batch_norm, {x, fresh(), fresh(), fresh(), variance},
                  {{"axis", axis}, {"epsilon", epsilon}, {"momentum", 0.9}, {"groups", std::int64_t{0}}}));
    return;
  }
  const std::int64_t groups = shape[0] > 0 && shape[0] % 2 == 0 && d.dice.chance(40) ? 2 : 1;
  for (const ValueId v :
       d.b.node(Op::batch_norm, {x, fresh(), fresh()}, {{"axis", axis}, {"epsilon", epsilon}, {"groups", groups}}))
    d.add(v);
}

}  // namespace

void draw_reduction(Drawing& d) {
  const auto x = d.any_number();
  if (!x) return;
  if (d.dice.chance(20)) return scan(d, *x);
  const bool keep = d.dice.chance(40);
  if (is_float(d.b.dtype(*x)) && d.dice.chance(20)) return d.add(d.b.mean(*x, some_dims(d, *x), keep));
  const Op op =
      d.dice.pick({Op::reduce_sum, Op::reduce_sum, Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::reduce_prod});
  const ValueId reduced = d.b.reduce(op, *x, some_dims(d, *x), keep);
  d.add(reduced);
  // What is reduced is often spread again over what it came from.
  if (keep && d.dice.chance(60)) d.add(d.b.binary(d.dice.pick({Op::sub, Op::mul, Op::add}), *x, reduced));
}

void draw_normalisation(Drawing& d) {
  const auto x = d.any_float();
  if (!x || d.b.shape(*x).rank() == 0) return;
  switch (d.dice.roll(0, 6)) {
    case 0:
    case 1:
      return d.add(d.b.one(d.dice.pick({Op::softmax, Op::log_softmax}), {*x}, {{"axis", std::int64_t{d.axis_of(*x)}}}));
    case 2: return cross_entropy(d, *x);
    case 3: return layer_norm(d, *x);
    case 4:
      for (const ValueId v : d.b.node(Op::moments, {*x}, {{"dims", some_dims(d, *x)}})) d.add(v);
      return;
    default: return batch_norm(d, *x);
  }
}

}  // namespace weft::fuzz
