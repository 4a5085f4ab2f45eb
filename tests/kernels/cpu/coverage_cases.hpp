// For every operator, small bodies of that operator alone, with values that tell mistakes.
#pragma once

#include <vector>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft::testing {

struct CoverageCase {
  Body body;
  double tolerance = 0;  ///< as `check` takes it
};

/// Cases of `op` on operands of type `type`; none when its rules do not admit the type. Operators that are not computed
/// by kernels (control, collectives, composites that decompose) have none.
std::vector<CoverageCase> coverage_cases(Op op, DType type);

}  // namespace weft::testing
