// The evaluators of the interpreter, one function a family; each takes a node and the values of its operands.
#pragma once

#include <span>
#include <vector>

#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::interpreter {

using Operands = std::span<const Tensor>;

Tensor evaluate_unary(const Node& node, Operands operands);
Tensor evaluate_binary(const Node& node, Operands operands);
Tensor evaluate_compare(const Node& node, Operands operands);
Tensor evaluate_select(Operands operands);
Tensor evaluate_iota(const Node& node);
Tensor evaluate_random_bits(const Node& node, Operands operands);
Tensor evaluate_movement(const Node& node, const TensorType& result, Operands operands);
Tensor evaluate_indexing(const Node& node, const TensorType& result, Operands operands);
Tensor evaluate_reduction(const Node& node, const TensorType& result, Operands operands);
std::vector<Tensor> evaluate_scan(const Node& node, std::span<const TensorType> results, Operands operands);
Tensor evaluate_dot(const Node& node, const TensorType& result, Operands operands);
Tensor evaluate_convolution(const Node& node, const TensorType& result, Operands operands);
Tensor evaluate_window(const Node& node, const TensorType& result, Operands operands);

/// Shared by transpose, broadcast, slice, reverse and the contraction's operand order: element i of the result is the
/// element of x at base + index . strides.
Tensor strided_read(const Tensor& x, const Shape& shape, std::int64_t base, const Dims& strides);

}  // namespace weft::interpreter
