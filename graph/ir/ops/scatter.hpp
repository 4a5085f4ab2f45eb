// Gradient rules that scatter.cpp lists and scatter_gradients.cpp states.
#pragma once

#include <vector>

#include "graph/ir/op_rules.hpp"

namespace weft::ops {

std::vector<ValueId> gradient_gather_nd(const GradientContext& context);
std::vector<ValueId> gradient_gather_elements(const GradientContext& context);
std::vector<ValueId> gradient_scatter_nd(const GradientContext& context);
std::vector<ValueId> gradient_scatter_elements(const GradientContext& context);

}  // namespace weft::ops
