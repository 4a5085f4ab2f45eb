// Builder methods for matrix products, convolutions and pooling.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "graph/ir/builder.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

bool consecutive(const Dims& dims) {
  for (std::size_t i = 1; i < dims.size(); ++i)
    if (dims[i] != dims[i - 1] + 1) return false;
  return true;
}

/// A transposed operand is read as it lies: `batch` and `contract` become the dimensions of what was transposed. Not
/// where its matrices could then not be walked by rows or columns, which is what libraries ask for.
ValueId untransposed(const Graph& graph, ValueId v, Dims& batch, Dims& contract) {
  const Node* producer = graph.producer(v);
  if (producer == nullptr || producer->op != Op::transpose) return v;
  const Dims& order = producer->attributes.integers("order");
  std::vector<bool> is_free(order.size(), true);
  const auto mapped = [&](const Dims& dims) {
    Dims result;
    for (const std::int64_t d : dims) {
      result.push_back(order.at(static_cast<std::size_t>(d)));
      is_free[static_cast<std::size_t>(d)] = false;
    }
    return result;
  };
  const Dims new_batch = mapped(batch), new_contract = mapped(contract);
  Dims free;
  for (std::size_t d = 0; d < order.size(); ++d)
    if (is_free[d]) free.push_back(order[d]);
  const auto last = static_cast<std::int64_t>(order.size()) - 1;
  const bool strided = std::find(new_batch.begin(), new_batch.end(), last) != new_batch.end();
  if (strided || !consecutive(free) || !consecutive(new_contract)) return v;
  batch = new_batch;
  contract = new_contract;
  return untransposed(graph, producer->inputs[0], batch, contract);
}

bool are_dimensions(const Shape& shape, const Dims& dims) {
  return std::all_of(dims.begin(), dims.end(), [&](std::int64_t d) { return d >= 0 && d < shape.rank(); });
}

}  // namespace

ValueId GraphBuilder::dot(ValueId x, ValueId y, Dims x_batch, Dims y_batch, Dims x_contract, Dims y_contract) {
  if (are_dimensions(shape(x), x_batch) && are_dimensions(shape(x), x_contract))
    x = untransposed(graph_, x, x_batch, x_contract);
  if (are_dimensions(shape(y), y_batch) && are_dimensions(shape(y), y_contract))
    y = untransposed(graph_, y, y_batch, y_contract);
  return one(Op::dot_general, {x, y},
             {{"x_batch", std::move(x_batch)},
              {"y_batch", std::move(y_batch)},
              {"x_contract", std::move(x_contract)},
              {"y_contract", std::move(y_contract)}});
}

namespace {

/// `shape` without its last `count` extents.
Shape leading(const Shape& shape, int count) { return Shape(Dims(shape.begin(), shape.end() - count)); }

Shape joined(const Shape& batch, std::initializer_list<std::int64_t> last) {
  Dims extents = batch.extents();
  extents.insert(extents.end(), last);
  return Shape(std::move(extents));
}

}  // namespace

ValueId GraphBuilder::matmul(ValueId x, ValueId y) {
  const Shape xs = shape(x), ys = shape(y);
  const bool x_vector = xs.rank() == 1, y_vector = ys.rank() == 1;
  const auto fail = [&](const char* reason) {
    throw UserError(fmt::format("{}matmul of {} and {}: {}",
                                name_.empty() ? "" : "node '" + name_ + "': ", type(x).str(), type(y).str(), reason));
  };
  if (xs.rank() == 0 || ys.rank() == 0) fail("an operand is a scalar");
  const std::int64_t inner = xs[xs.rank() - 1];
  if (inner != (y_vector ? ys[0] : ys[ys.rank() - 2])) fail("the contracted extents differ");
  if (x_vector) x = reshape(x, Shape{1, inner});
  if (y_vector) y = reshape(y, Shape{inner, 1});
  const Shape xm = shape(x), ym = shape(y);
  const std::int64_t rows = xm[xm.rank() - 2], columns = ym[ym.rank() - 1];

  Shape batch;
  ValueId product = kNone;
  if (ym.rank() == 2) {  // one matrix for all of x: a single product, nothing is broadcast
    batch = leading(xm, 2);
    product = dot(x, y, {}, {}, {xm.rank() - 1}, {0});
  } else {
    try {
      batch = broadcast_shapes(leading(xm, 2), leading(ym, 2));
    } catch (UserError&) {
      fail("the batch dimensions do not broadcast");
    }
    x = broadcast_to(x, joined(batch, {rows, inner}));
    y = broadcast_to(y, joined(batch, {inner, columns}));
    Dims dims(static_cast<std::size_t>(batch.rank()));
    std::iota(dims.begin(), dims.end(), 0);
    product = dot(x, y, dims, dims, {batch.rank() + 1}, {batch.rank()});
  }
  Dims result = batch.extents();
  if (!x_vector) result.push_back(rows);
  if (!y_vector) result.push_back(columns);
  return reshape(product, Shape(std::move(result)));
}

ValueId GraphBuilder::conv(ValueId x, ValueId w, const ConvWindow& window) {
  return one(Op::conv_general, {x, w},
             {{"strides", window.strides},
              {"pads_low", window.pads_low},
              {"pads_high", window.pads_high},
              {"dilations", window.dilations},
              {"groups", window.groups}});
}

ValueId GraphBuilder::pool(Op op, ValueId x, const PoolWindow& window) {
  return one(op, {x},
             {{"window", window.window},
              {"strides", window.strides},
              {"pads_low", window.pads_low},
              {"pads_high", window.pads_high},
              {"dilations", window.dilations}});
}

}  // namespace weft
