// Where several operators read one value, its gradient is the sum of theirs. Two kinds of sums are made as one node:
//
// - of slices: when what was read are neighbouring slices, the sum of gradients that are zero outside their slice is
//   their concatenation (gates of a recurrent cell, steps of a sequence, queries, keys and values);
// - of products: sum_t dot(x_t, y_t) is one product over all t when the operands are smaller than the result (a
//   recurrent weight, read at every step).
#pragma once

#include "graph/ir/builder.hpp"

namespace weft {

/// sum + next. `sum` is not read by anything else.
ValueId sum_of_gradients(GraphBuilder& builder, ValueId sum, ValueId next);

}  // namespace weft
