// Between [batch, sequence, heads * size] and [batch, heads, sequence, size], for operators that attend.
#pragma once

#include <fmt/format.h>

#include "graph/onnx/op_context.hpp"

namespace weft::onnx {

/// A value of three dimensions cut into as many heads as `attribute` says; one of four as it is.
inline ValueId to_heads(OpContext& c, ValueId x, const char* attribute) {
  const Shape shape = c.b.shape(x);
  if (shape.rank() == 4) return x;
  const std::int64_t heads = c.integer(attribute, 0);
  if (shape.rank() != 3 || heads < 1 || shape[2] % heads != 0)
    OpContext::unsupported(fmt::format("{} {} does not fit an operand of shape {}", attribute, heads, shape.str()));
  return c.b.transpose(c.b.reshape(x, Shape{shape[0], shape[1], heads, shape[2] / heads}), {0, 2, 1, 3});
}

inline ValueId from_heads(GraphBuilder& b, ValueId x) {
  const Shape shape = b.shape(x);
  return b.reshape(b.transpose(x, {0, 2, 1, 3}), Shape{shape[0], shape[2], shape[1] * shape[3]});
}

/// Each head as often as queries share it, side by side.
inline ValueId repeated_heads(GraphBuilder& b, ValueId x, std::int64_t heads) {
  const Shape shape = b.shape(x);
  if (shape.rank() != 4 || shape[1] == heads) return x;
  if (shape[1] < 1 || heads % shape[1] != 0)
    OpContext::unsupported(fmt::format("{} query heads cannot share {} heads of keys", heads, shape[1]));
  const Shape wide{shape[0], shape[1], heads / shape[1], shape[2], shape[3]};
  return b.reshape(b.broadcast_in(x, wide, {0, 1, 3, 4}), Shape{shape[0], heads, shape[2], shape[3]});
}

}  // namespace weft::onnx
