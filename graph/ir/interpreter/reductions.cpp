// Reductions and scans.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"

namespace weft::interpreter {
namespace {

template <class W>
W initial(Op op, DType type) {
  switch (op) {
    case Op::reduce_max: return lowest_of<W>(type);
    case Op::reduce_min: return highest_of<W>(type);
    case Op::reduce_prod: return W{1};
    default: return W{};
  }
}

template <class W>
W combined(Op op, W a, W b) {
  switch (op) {
    case Op::reduce_max: return wide_max(a, b);
    case Op::reduce_min: return wide_min(a, b);
    case Op::reduce_prod: return wide_mul(a, b);
    default: return wide_add(a, b);
  }
}

/// One axis of a row-major tensor: lines(), each of `extent` elements `inner` apart.
struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;

  Lines(const Shape& shape, int axis) : extent(shape[axis]) {
    for (int d = 0; d < axis; ++d) outer *= shape[d];
    for (int d = axis + 1; d < shape.rank(); ++d) inner *= shape[d];
  }
  std::int64_t count() const { return outer * inner; }
  std::size_t at(std::int64_t line, std::int64_t i, std::int64_t length) const {
    return static_cast<std::size_t>((line / inner * length + i) * inner + line % inner);
  }
  std::size_t at(std::int64_t line, std::int64_t i) const { return at(line, i, extent); }
};

/// Whether `a` comes before `b` when sorting the larger (or smaller) first; NaN is larger than all.
template <class W>
bool precedes(W a, W b, bool largest) {
  if constexpr (std::is_floating_point_v<W>) {
    if (std::isnan(a)) return largest && !std::isnan(b);
    if (std::isnan(b)) return !largest;
  }
  return largest ? a > b : a < b;
}

template <class W>
Tensor arg_extreme(const Node& node, const Shape& shape, const Tensor& x) {
  const std::vector<W> values = widen<W>(x);
  const Lines lines(x.shape(), static_cast<int>(node.attributes.integer("axis")));
  const bool largest = node.op == Op::argmax, last = node.attributes.integer("last") != 0;
  // NaN wins both ways, so that argmin finds it too.
  const auto better = [&](W a, W b) {
    if constexpr (std::is_floating_point_v<W>)
      if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && (last || !std::isnan(b));
    return last ? (largest ? a >= b : a <= b) : (largest ? a > b : a < b);
  };
  Tensor result(DType::i64, shape);
  auto to = result.mutable_values<std::int64_t>();
  for (std::int64_t line = 0; line < lines.count(); ++line) {
    std::int64_t best = 0;
    for (std::int64_t i = 1; i < lines.extent; ++i)
      if (better(values[lines.at(line, i)], values[lines.at(line, best)])) best = i;
    to[static_cast<std::size_t>(line)] = best;
  }
  return result;
}

template <class W>
Tensor cumulative_sum(const Node& node, const Tensor& x) {
  std::vector<W> values = widen<W>(x);
  const Lines lines(x.shape(), static_cast<int>(node.attributes.integer("axis")));
  const bool exclusive = node.attributes.integer("exclusive") != 0, reverse = node.attributes.integer("reverse") != 0;
  for (std::int64_t line = 0; line < lines.count(); ++line) {
    W sum{};
    for (std::int64_t i = 0; i < lines.extent; ++i) {
      W& value = values[lines.at(line, reverse ? lines.extent - 1 - i : i)];
      const W before = sum;
      sum = wide_add(sum, value);
      value = exclusive ? before : sum;
    }
  }
  return narrow(x.dtype(), x.shape(), values);
}

template <class W>
std::vector<Tensor> top_k(const Node& node, const Shape& shape, const Tensor& x) {
  const std::vector<W> values = widen<W>(x);
  const auto axis = static_cast<int>(node.attributes.integer("axis"));
  const Lines lines(x.shape(), axis);
  const std::int64_t k = shape[axis];
  const bool largest = node.attributes.integer("largest") != 0;
  std::vector<W> kept(static_cast<std::size_t>(shape.elements()));
  Tensor indices(DType::i64, shape);
  auto to = indices.mutable_values<std::int64_t>();
  std::vector<std::int64_t> order(static_cast<std::size_t>(lines.extent));
  for (std::int64_t line = 0; line < lines.count(); ++line) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return precedes(values[lines.at(line, a)], values[lines.at(line, b)], largest);
    });
    for (std::int64_t i = 0; i < k; ++i) {
      kept[lines.at(line, i, k)] = values[lines.at(line, order[static_cast<std::size_t>(i)])];
      to[lines.at(line, i, k)] = order[static_cast<std::size_t>(i)];
    }
  }
  return {narrow(x.dtype(), shape, kept), std::move(indices)};
}

}  // namespace

Tensor evaluate_reduction(const Node& node, const TensorType& result, Operands operands) {
  const Tensor& x = operands[0];
  const Dims& dims = node.attributes.integers("dims");
  // Strides of the result for each dimension of x: 0 where it is reduced.
  Dims strides(static_cast<std::size_t>(x.shape().rank()), 0);
  const Dims kept = result.shape.row_major_strides();
  std::size_t next = 0;
  for (int d = 0; d < x.shape().rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) strides[static_cast<std::size_t>(d)] = kept[next++];
  return visit_wide(x.dtype(), [&]<class W>(TypeTag<W>) {
    std::vector<W> sums(static_cast<std::size_t>(result.shape.elements()), initial<W>(node.op, x.dtype()));
    Odometer at(x.shape().extents(), strides, 0);
    for (const W value : widen<W>(x)) {
      W& sum = sums[static_cast<std::size_t>(at.offset())];
      sum = combined(node.op, sum, value);
      at.next();
    }
    return narrow(result.dtype, result.shape, sums);
  });
}

std::vector<Tensor> evaluate_scan(const Node& node, std::span<const TensorType> results, Operands operands) {
  return visit_wide(operands[0].dtype(), [&]<class W>(TypeTag<W>) -> std::vector<Tensor> {
    if (node.op == Op::cumsum) return {cumulative_sum<W>(node, operands[0])};
    if (node.op == Op::top_k) return top_k<W>(node, results[0].shape, operands[0]);
    return {arg_extreme<W>(node, results[0].shape, operands[0])};
  });
}

}  // namespace weft::interpreter
