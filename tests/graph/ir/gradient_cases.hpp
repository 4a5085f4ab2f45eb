// The table of cases that drive the finite-difference test of gradient rules.
#pragma once

#include <string>
#include <vector>

#include "weft/attributes.hpp"
#include "weft/op.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// One operand: random f64 numbers of a shape in [low, high), all at least a little apart; or a fixed value.
struct GradientOperand {
  Shape shape;
  double low = -2, high = 2;
  std::vector<Tensor> fixed = {};  ///< one tensor, or none
};

struct GradientCase {
  Op op;
  std::vector<GradientOperand> operands;
  Attributes attributes = {};
};

std::vector<GradientCase> gradient_cases();

}  // namespace weft
