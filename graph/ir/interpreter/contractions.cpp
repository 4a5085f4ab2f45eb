// Matrix products and convolutions, as sums in f64.
#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"
#include "graph/ir/ops/dot.hpp"
#include "graph/ir/ops/window.hpp"

namespace weft::interpreter {
namespace {

/// `x` with its dimensions in the order batch, free, contracted.
Tensor ordered(const Tensor& x, const Dims& batch, const Dims& contract) {
  Dims order = batch;
  for (const std::int64_t d : ops::free_dimensions(x.shape().rank(), batch, contract)) order.push_back(d);
  order.insert(order.end(), contract.begin(), contract.end());
  const Dims from = x.shape().row_major_strides();
  Dims strides, extents;
  for (const std::int64_t d : order) {
    strides.push_back(from[static_cast<std::size_t>(d)]);
    extents.push_back(x.shape()[static_cast<int>(d)]);
  }
  return strided_read(x, Shape(std::move(extents)), 0, strides);
}

/// For every output position and window tap of a convolution, the spatial offset in x that it reads, or -1 (padding).
std::vector<std::int64_t> tap_offsets(const Attributes& attributes, const Shape& x, const Shape& w, const Shape& y) {
  const auto spatial = [](const Shape& s) { return Shape(Dims(s.begin() + 2, s.end())); };
  const Shape xs = spatial(x), ws = spatial(w), ys = spatial(y);
  const Dims zero(xs.extents().size(), 0), strides = xs.row_major_strides();
  std::vector<std::int64_t> result;
  result.reserve(static_cast<std::size_t>(ys.elements() * ws.elements()));
  Odometer position(ys.extents(), zero, 0);
  for (std::int64_t p = 0; p < ys.elements(); ++p, position.next()) {
    Odometer tap(ws.extents(), zero, 0);
    for (std::int64_t t = 0; t < ws.elements(); ++t, tap.next()) {
      std::int64_t offset = 0;
      for (int d = 0; d < xs.rank(); ++d) {
        const auto i = static_cast<std::size_t>(d);
        const ops::WindowAxis axis = ops::convolution_axis(attributes, x, w, d);
        const std::int64_t at = position.index()[i] * axis.stride - axis.low + tap.index()[i] * axis.dilation;
        if (at < 0 || at >= axis.input) offset = -1;
        if (offset >= 0) offset += at * strides[i];
      }
      result.push_back(offset);
    }
  }
  return result;
}

/// Calls visit(x index, w index, y index) for every product of the convolution.
template <class Visit>
void for_each_product(const Attributes& attributes, const Shape& x, const Shape& w, const Shape& y, Visit visit) {
  const std::vector<std::int64_t> taps = tap_offsets(attributes, x, w, y);
  const std::int64_t groups = attributes.integer("groups");
  std::int64_t input = 1, window = 1, output = 1;  // spatial elements
  for (int d = 2; d < x.rank(); ++d) input *= x[d], window *= w[d], output *= y[d];
  const std::int64_t filters_per_group = w[0] / groups;
  for (std::int64_t n = 0; n < x[0]; ++n)
    for (std::int64_t o = 0; o < w[0]; ++o)
      for (std::int64_t c = 0; c < w[1]; ++c) {
        const std::int64_t xc = (n * x[1] + o / filters_per_group * w[1] + c) * input;
        const std::int64_t wc = (o * w[1] + c) * window;
        const std::int64_t yc = (n * w[0] + o) * output;
        for (std::int64_t p = 0; p < output; ++p)
          for (std::int64_t t = 0; t < window; ++t) {
            const std::int64_t at = taps[static_cast<std::size_t>(p * window + t)];
            if (at >= 0)
              visit(static_cast<std::size_t>(xc + at), static_cast<std::size_t>(wc + t),
                    static_cast<std::size_t>(yc + p));
          }
      }
}

}  // namespace

Tensor evaluate_dot(const Node& node, const TensorType& result, Operands operands) {
  const Attributes& a = node.attributes;
  const Tensor x = ordered(operands[0], a.integers("x_batch"), a.integers("x_contract"));
  const Tensor y = ordered(operands[1], a.integers("y_batch"), a.integers("y_contract"));
  std::int64_t batches = 1, inner = 1;
  for (const std::int64_t d : a.integers("x_batch")) batches *= operands[0].shape()[static_cast<int>(d)];
  for (const std::int64_t d : a.integers("x_contract")) inner *= operands[0].shape()[static_cast<int>(d)];
  if (result.shape.elements() == 0 || inner == 0) return Tensor(result.dtype, result.shape);
  const std::int64_t rows = x.elements() / batches / inner, columns = y.elements() / batches / inner;
  return visit_wide(result.dtype, [&]<class W>(TypeTag<W>) {
    const std::vector<W> xs = widen<W>(x), ys = widen<W>(y);
    std::vector<W> sums(static_cast<std::size_t>(result.shape.elements()));
    for (std::int64_t b = 0; b < batches; ++b)
      for (std::int64_t m = 0; m < rows; ++m)
        for (std::int64_t n = 0; n < columns; ++n) {
          const W* row = xs.data() + (b * rows + m) * inner;
          const W* column = ys.data() + (b * columns + n) * inner;
          W sum{};
          for (std::int64_t k = 0; k < inner; ++k) sum = wide_add(sum, wide_mul(row[k], column[k]));
          sums[static_cast<std::size_t>((b * rows + m) * columns + n)] = sum;
        }
    return narrow(result.dtype, result.shape, sums);
  });
}

Tensor evaluate_convolution(const Node& node, const TensorType& result, Operands operands) {
  return visit_wide(result.dtype, [&]<class W>(TypeTag<W>) {
    const std::vector<W> a = widen<W>(operands[0]), b = widen<W>(operands[1]);
    std::vector<W> sums(static_cast<std::size_t>(result.shape.elements()));
    const auto accumulate = [](W& sum, W p, W q) { sum = wide_add(sum, wide_mul(p, q)); };
    const Shape &first = operands[0].shape(), &second = operands[1].shape();
    if (node.op == Op::conv_general)
      for_each_product(node.attributes, first, second, result.shape,
                       [&](std::size_t x, std::size_t w, std::size_t y) { accumulate(sums[y], a[x], b[w]); });
    else if (node.op == Op::conv_data_grad)
      for_each_product(node.attributes, result.shape, second, first,
                       [&](std::size_t x, std::size_t w, std::size_t y) { accumulate(sums[x], a[y], b[w]); });
    else
      for_each_product(node.attributes, first, result.shape, second,
                       [&](std::size_t x, std::size_t w, std::size_t y) { accumulate(sums[w], a[x], b[y]); });
    return narrow(result.dtype, result.shape, sums);
  });
}

}  // namespace weft::interpreter
