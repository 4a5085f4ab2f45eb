// Scatters.
#include <fmt/format.h>

#include "graph/onnx/ops/indexing.hpp"
#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

std::string kind_of(OpContext& c) {
  const std::string kind = c.text("reduction", "none");
  if (kind == "none") return "replace";
  if (kind == "add" || kind == "mul" || kind == "max" || kind == "min") return kind;
  OpContext::unsupported("unknown reduction '" + kind + "'");
}

Values import_scatter_elements(OpContext& c) {
  const int axis = c.axis(0, c.rank(0));
  return {c.b.one(Op::scatter_elements, {c.in(0), from_start(c, 1, c.shape(0)[axis]), c.in(2)},
                  {{"axis", std::int64_t{axis}}, {"kind", kind_of(c)}})};
}

Values import_scatter_nd(OpContext& c) {
  const int depth = c.rank(1) > 0 ? static_cast<int>(c.shape(1)[c.rank(1) - 1]) : 0;
  if (depth > c.rank(0)) OpContext::unsupported("its indices are deeper than its operand has dimensions");
  std::vector<std::int64_t> extents;
  for (int d = 0; d < depth; ++d) extents.push_back(c.shape(0)[d]);
  const ValueId sizes = c.b.constant(Tensor::from<std::int64_t>(Shape{depth}, extents));
  return {c.b.one(Op::scatter_nd, {c.in(0), from_start(c, 1, sizes), c.in(2)}, {{"kind", kind_of(c)}})};
}

/// Max-unpooling: values go back to the flat positions that MaxPool reported.
Values import_max_unpool(OpContext& c) {
  const Shape from = c.shape(0);
  const int spatial = from.rank() - 2;
  if (spatial < 1) OpContext::unsupported("needs a batch, a channel and a spatial dimension");
  const Dims kernel = c.integers("kernel_shape");
  const auto count = static_cast<std::size_t>(spatial);
  const Dims strides = c.integers("strides", Dims(count, 1)), pads = c.integers("pads", Dims(2 * count, 0));
  if (kernel.size() != count || strides.size() != count || pads.size() != 2 * count)
    OpContext::unsupported("kernel_shape, strides and pads do not fit the operand");
  Dims natural = {from[0], from[1]};
  for (std::size_t d = 0; d < count; ++d)
    natural.push_back((from[static_cast<int>(d) + 2] - 1) * strides[d] + kernel[d] - pads[d] - pads[d + count]);
  // Positions count in the natural shape; a larger output shape is filled with zeros behind it.
  const Shape inner(natural);
  const ValueId flat = c.b.full(c.dtype(0), Shape{inner.elements()}, 0);
  const Shape all{from.elements()};
  const ValueId index = c.b.cast(c.b.reshape(c.in(1), all), DType::i64);
  const ValueId placed = c.b.one(Op::scatter_elements, {flat, index, c.b.reshape(c.in(0), all)},
                                 {{"axis", std::int64_t{0}}, {"kind", std::string("replace")}});
  if (!c.has(2)) return {c.b.reshape(placed, inner)};
  const Shape outer(c.constant_dims(2, "the output shape"));
  if (outer.rank() != inner.rank()) OpContext::unsupported("the output shape has another number of dimensions");
  Dims high;
  for (int d = 0; d < outer.rank(); ++d) high.push_back(outer[d] - inner[d]);
  const Dims zero(high.size(), 0);
  return {c.b.pad(c.b.reshape(placed, inner), c.b.full(c.dtype(0), Shape{}, 0), zero, high, zero)};
}

constexpr OpRow kScatterRows[] = {
    {"Scatter", import_scatter_elements},
    {"ScatterElements", import_scatter_elements},
    {"ScatterND", import_scatter_nd},
    {"MaxUnpool", import_max_unpool},
};

}  // namespace

std::span<const OpRow> scatter_rows() { return kScatterRows; }

}  // namespace weft::onnx
