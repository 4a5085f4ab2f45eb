// The shape of a contraction body: one contraction, then optionally bias, residual and relu.
#pragma once

#include <string>

#include "weft/graph.hpp"

namespace weft::cpu {

/// The body read as contraction + epilogue; values are kNone where that part is absent.
struct ContractionBody {
  const Node* root = nullptr;
  ValueId bias = kNone;  ///< graph input of shape [channels], added along `bias_dim` of the result
  int bias_dim = -1;
  ValueId residual = kNone;  ///< graph input of the result's shape, added after the bias
  bool relu = false;         ///< last
  std::string refusal;       ///< set when the body has another form; the rest is then meaningless
};

/// Recognises contraction [+ broadcast bias] [+ residual] [relu] [cast to the operands' 16-bit type], in that order,
/// where the contraction is `op`. The residual may be a 16-bit input, widened in the body.
ContractionBody match_contraction(const Graph& body, Op op);

/// Position of `value` among the kernel's arguments: inputs first, then outputs.
std::size_t argument_of(const Graph& body, ValueId value);

}  // namespace weft::cpu
