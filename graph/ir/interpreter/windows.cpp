// Reductions over sliding windows, and their gradients.
#include <cmath>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"
#include "graph/ir/ops/window.hpp"

namespace weft::interpreter {
namespace {

/// Calls visit(output element, input element) for every element that a window covers, windows and their elements in
/// row-major order; padding is left out.
template <class Visit>
void for_each_covered(const Attributes& attributes, const Shape& x, const Shape& y, Visit visit) {
  const Dims zero(x.extents().size(), 0), strides = x.row_major_strides();
  std::vector<ops::WindowAxis> axes;
  for (int d = 0; d < x.rank(); ++d) axes.push_back(ops::pooling_axis(attributes, x, d));
  const Shape window(attributes.integers("window"));
  Odometer position(y.extents(), zero, 0);
  for (std::int64_t o = 0; o < y.elements(); ++o, position.next()) {
    Odometer tap(window.extents(), zero, 0);
    for (std::int64_t t = 0; t < window.elements(); ++t, tap.next()) {
      std::int64_t offset = 0;
      bool inside = true;
      for (std::size_t d = 0; d < axes.size(); ++d) {
        const std::int64_t at = position.index()[d] * axes[d].stride - axes[d].low + tap.index()[d] * axes[d].dilation;
        inside = inside && at >= 0 && at < axes[d].input;
        offset += at * strides[d];
      }
      if (inside) visit(static_cast<std::size_t>(o), static_cast<std::size_t>(offset));
    }
  }
}

/// The input element that each window's maximum is at (the first of equals; NaN is a maximum), or -1.
std::vector<std::int64_t> maxima(const Attributes& attributes, const std::vector<double>& x, const Shape& x_shape,
                                 const Shape& y_shape) {
  std::vector<std::int64_t> best(static_cast<std::size_t>(y_shape.elements()), -1);
  for_each_covered(attributes, x_shape, y_shape, [&](std::size_t o, std::size_t i) {
    const double held = best[o] < 0 ? 0 : x[static_cast<std::size_t>(best[o])];
    if (best[o] < 0 || x[i] > held || (std::isnan(x[i]) && !std::isnan(held))) best[o] = static_cast<std::int64_t>(i);
  });
  return best;
}

}  // namespace

Tensor evaluate_window(const Node& node, const TensorType& result, Operands operands) {
  const Attributes& a = node.attributes;
  const Shape& shape = operands[0].shape();
  const bool forward = node.op == Op::reduce_window_max || node.op == Op::reduce_window_sum;
  if (forward)
    return visit_wide(result.dtype, [&]<class W>(TypeTag<W>) {
      const bool max = node.op == Op::reduce_window_max;
      const std::vector<W> x = widen<W>(operands[0]);
      std::vector<W> y(static_cast<std::size_t>(result.shape.elements()), max ? lowest_of<W>(result.dtype) : W{});
      for_each_covered(a, shape, result.shape,
                       [&](std::size_t o, std::size_t i) { y[o] = max ? wide_max(y[o], x[i]) : wide_add(y[o], x[i]); });
      return narrow(result.dtype, result.shape, y);
    });
  std::vector<double> dx(static_cast<std::size_t>(result.shape.elements()));
  if (node.op == Op::reduce_window_max_grad) {
    const std::vector<double> dy = widen<double>(operands[1]);
    const std::vector<std::int64_t> best = maxima(a, widen<double>(operands[0]), shape, operands[1].shape());
    for (std::size_t o = 0; o < dy.size(); ++o)
      if (best[o] >= 0) dx[static_cast<std::size_t>(best[o])] += dy[o];
  } else {
    const std::vector<double> dy = widen<double>(operands[0]);
    for_each_covered(a, result.shape, shape, [&](std::size_t o, std::size_t i) { dx[i] += dy[o]; });
  }
  return narrow(result.dtype, result.shape, dx);
}

}  // namespace weft::interpreter
