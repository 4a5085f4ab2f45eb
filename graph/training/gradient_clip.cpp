// Gradient norm and clipping as graph.
#include "graph/training/gradient_clip.hpp"

namespace weft {

ValueId global_norm(GraphBuilder& builder, const std::vector<ValueId>& gradients) {
  const ScopedName name(builder, "grad_norm");
  DType type = DType::f32;
  for (const ValueId g : gradients)
    if (builder.dtype(g) == DType::f64) type = DType::f64;
  if (gradients.empty()) return builder.full(type, {}, 0);
  std::vector<ValueId> squares;
  for (const ValueId gradient : gradients) {
    const ValueId g = builder.cast(gradient, type);
    Dims dims;
    for (int d = 0; d < builder.shape(g).rank(); ++d) dims.push_back(d);
    squares.push_back(builder.reshape(builder.reduce(Op::reduce_sum, builder.mul(g, g), std::move(dims)), Shape{1}));
  }
  const ValueId all = squares.size() == 1 ? squares.front() : builder.concat(squares, 0);
  return builder.unary(Op::sqrt, builder.reduce(Op::reduce_sum, all, {0}));
}

void clip_by_norm(GraphBuilder& builder, std::vector<ValueId>& gradients, ValueId norm, double max_norm) {
  const ScopedName name(builder, "clip_norm");
  const ValueId ratio = builder.div(builder.like(norm, max_norm), builder.add(norm, builder.like(norm, 1e-6)));
  const ValueId factor = builder.binary(Op::minimum, ratio, builder.like(norm, 1));
  for (ValueId& g : gradients) g = builder.mul(g, builder.cast(factor, builder.dtype(g)));
}

void clip_by_value(GraphBuilder& builder, std::vector<ValueId>& gradients, double limit) {
  const ScopedName name(builder, "clip_value");
  for (ValueId& g : gradients) {
    const ValueId low = builder.full(builder.dtype(g), {}, -limit), high = builder.full(builder.dtype(g), {}, limit);
    g = builder.binary(Op::minimum, builder.binary(Op::maximum, g, low), high);
  }
}

ValueId is_finite(GraphBuilder& builder, ValueId scalar) {
  const ValueId bad =
      builder.binary(Op::logical_or, builder.unary(Op::is_nan, scalar), builder.unary(Op::is_inf, scalar));
  return builder.unary(Op::logical_not, bad);
}

}  // namespace weft
