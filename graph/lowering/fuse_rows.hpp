// Fusion along rows: reductions together with the elementwise work before and after them.
#pragma once

#include "graph/lowering/groups.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// Merges reductions of equal rows with the elementwise groups of the same shape that make their operands or read their
/// results, directly or through values that there is one of a row: softmax, normalisations, losses and their gradients
/// become one kernel each, as far as the oracle takes them whole.
void merge_rows(Groups& groups, const KernelOracle& oracle);

}  // namespace weft::lowering
