// Recognition of attention: products, softmax and products become the operator.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// The operator or its gradient.
inline bool is_attention(Op op) { return op == Op::attention || op == Op::attention_grad; }

/// `forward` with softmax(scale q k' + mask) v as Op::attention wherever nothing else reads what lies between: as model
/// builders and PyTorch's exporter write it, with the scale on the scores or on q and k, heads split by transposes or
/// by reshapes into one batch dimension, key and value heads repeated for query heads, masks added or selected, and
/// NaN rows replaced by zeros. A mask that is a constant triangle becomes `causal`; one that masks nothing goes. A mask
/// made from a state stays as it is, for it may be trained. Values change by rounding only. For graphs without
/// gradients: autodiff comes after it. Bodies of control flow are left alone.
Graph with_attention(const Graph& forward);

}  // namespace weft
