// Helpers shared by operators that index.
#pragma once

#include "graph/onnx/op_context.hpp"

namespace weft::onnx {

/// ONNX's indices count from the end when negative; the primitives' do not. `extents` broadcasts against them.
ValueId from_start(OpContext& c, int operand, ValueId extents);
ValueId from_start(OpContext& c, int operand, std::int64_t extent);

}  // namespace weft::onnx
