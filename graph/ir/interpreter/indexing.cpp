// Gather and scatter. An index outside the range reads NaN (0 for other than floats) and writes nowhere.
#include <cmath>
#include <cstring>
#include <limits>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"

namespace weft::interpreter {
namespace {

/// A result filled with what an index outside the range reads.
Tensor unread(const TensorType& type) {
  if (!is_float(type.dtype)) return Tensor(type.dtype, type.shape);
  return Tensor::full(type.dtype, type.shape, std::numeric_limits<double>::quiet_NaN());
}

/// How an update joins the element that it meets.
template <class W>
W joined(const std::string& kind, W old, W update) {
  if (kind == "add") return wide_add(old, update);
  if (kind == "mul") return wide_mul(old, update);
  if (kind == "max") return wide_max(old, update);
  if (kind == "min") return wide_min(old, update);
  return update;
}

/// Copies runs of `run` elements: run i of the result is the run of x that starts at element from(i), or none when < 0.
template <class From>
Tensor gather_runs(const Tensor& x, const TensorType& type, std::int64_t runs, std::int64_t run, From from) {
  Tensor result = unread(type);
  const std::size_t size = size_of(x.dtype()), bytes = static_cast<std::size_t>(run) * size;
  std::byte* to = result.mutable_data();
  for (std::int64_t i = 0; i < runs; ++i) {
    const std::int64_t start = from(i);
    if (start >= 0)
      std::memcpy(to + static_cast<std::size_t>(i) * bytes, x.data() + static_cast<std::size_t>(start) * size, bytes);
  }
  return result;
}

/// Joins runs of updates into a copy of x: run i goes to the elements from to(i) on, or nowhere when < 0.
template <class To>
Tensor scatter_runs(const Tensor& x, const Tensor& updates, const std::string& kind, std::int64_t runs,
                    std::int64_t run, To to) {
  return visit_wide(x.dtype(), [&]<class W>(TypeTag<W>) {
    std::vector<W> values = widen<W>(x);
    const std::vector<W> u = widen<W>(updates);
    for (std::int64_t i = 0; i < runs; ++i) {
      const std::int64_t start = to(i);
      if (start < 0) continue;
      for (std::int64_t j = 0; j < run; ++j) {
        W& value = values[static_cast<std::size_t>(start + j)];
        value = joined(kind, value, u[static_cast<std::size_t>(i * run + j)]);
      }
    }
    return narrow(x.dtype(), x.shape(), values);
  });
}

/// gather and scatter_add: where run (outer, index) begins in the indexed tensor.
struct AxisIndexing {
  std::int64_t outer, extent, inner;
  std::vector<std::int64_t> indices;

  AxisIndexing(const Shape& shape, int axis, const Tensor& index)
      : outer(shape.elements(0, axis)),
        extent(shape[axis]),
        inner(shape.elements(axis + 1, shape.rank())),
        indices(widen<std::int64_t>(index)) {}
  std::int64_t runs() const { return outer * static_cast<std::int64_t>(indices.size()); }
  std::int64_t start(std::int64_t run) const {
    const auto count = static_cast<std::int64_t>(indices.size());
    const std::int64_t index = indices[static_cast<std::size_t>(run % count)];
    return index < 0 || index >= extent ? -1 : (run / count * extent + index) * inner;
  }
};

/// gather_nd and scatter_nd: where the run of index tuple i begins.
struct TupleIndexing {
  const Shape& shape;
  int batch, tuple;
  Dims strides;
  std::int64_t tuples_per_batch, batch_stride, run;
  std::vector<std::int64_t> indices;

  TupleIndexing(const Shape& x, const Tensor& index, int batch_dims)
      : shape(x),
        batch(batch_dims),
        tuple(static_cast<int>(index.shape()[index.shape().rank() - 1])),
        strides(x.row_major_strides()),
        tuples_per_batch(index.shape().elements(batch, index.shape().rank() - 1)),
        batch_stride(x.elements(batch, x.rank())),
        run(x.elements(batch + tuple, x.rank())),
        indices(widen<std::int64_t>(index)) {}
  std::int64_t runs() const { return static_cast<std::int64_t>(indices.size()) / tuple; }
  std::int64_t start(std::int64_t i) const {
    std::int64_t offset = i / tuples_per_batch * batch_stride;
    for (int t = 0; t < tuple; ++t) {
      const std::int64_t index = indices[static_cast<std::size_t>(i * tuple + t)];
      if (index < 0 || index >= shape[batch + t]) return -1;
      offset += index * strides[static_cast<std::size_t>(batch + t)];
    }
    return offset;
  }
};

/// gather_elements and scatter_elements: the element of x that each element of indices names, or -1.
std::vector<std::int64_t> named_elements(const Shape& x, const Tensor& index, int axis) {
  std::vector<std::int64_t> result = widen<std::int64_t>(index);
  Dims strides = x.row_major_strides();
  const std::int64_t along = strides[static_cast<std::size_t>(axis)];
  strides[static_cast<std::size_t>(axis)] = 0;
  Odometer at(index.shape().extents(), strides, 0);
  for (std::int64_t& i : result) {
    i = i < 0 || i >= x[axis] ? -1 : at.offset() + i * along;
    at.next();
  }
  return result;
}

}  // namespace

Tensor evaluate_indexing(const Node& node, const TensorType& result, Operands operands) {
  const Attributes& a = node.attributes;
  const auto axis = [&] { return static_cast<int>(a.integer("axis")); };
  switch (node.op) {
    case Op::gather: {
      const AxisIndexing at(operands[0].shape(), axis(), operands[1]);
      return gather_runs(operands[0], result, at.runs(), at.inner, [&](std::int64_t i) { return at.start(i); });
    }
    case Op::scatter_add: {
      const AxisIndexing at(result.shape, axis(), operands[0]);
      return scatter_runs(Tensor(result.dtype, result.shape), operands[1], "add", at.runs(), at.inner,
                          [&](std::int64_t i) { return at.start(i); });
    }
    case Op::gather_nd: {
      const TupleIndexing at(operands[0].shape(), operands[1], static_cast<int>(a.integer("batch_dims")));
      return gather_runs(operands[0], result, at.runs(), at.run, [&](std::int64_t i) { return at.start(i); });
    }
    case Op::scatter_nd: {
      const TupleIndexing at(operands[0].shape(), operands[1], 0);
      return scatter_runs(operands[0], operands[2], a.text("kind"), at.runs(), at.run,
                          [&](std::int64_t i) { return at.start(i); });
    }
    case Op::gather_elements: {
      const std::vector<std::int64_t> at = named_elements(operands[0].shape(), operands[1], axis());
      return gather_runs(operands[0], result, static_cast<std::int64_t>(at.size()), 1,
                         [&](std::int64_t i) { return at[static_cast<std::size_t>(i)]; });
    }
    case Op::scatter_elements: {
      const std::vector<std::int64_t> at = named_elements(operands[0].shape(), operands[1], axis());
      return scatter_runs(operands[0], operands[2], a.text("kind"), static_cast<std::int64_t>(at.size()), 1,
                          [&](std::int64_t i) { return at[static_cast<std::size_t>(i)]; });
    }
    default: throw InternalError("interpreter: not an indexing operator: " + std::string(name_of(node.op)));
  }
}

}  // namespace weft::interpreter
