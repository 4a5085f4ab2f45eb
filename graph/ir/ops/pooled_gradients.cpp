// Looking for the pooling behind a gradient.
#include "graph/ir/ops/pooled_gradients.hpp"

#include <algorithm>

namespace weft::ops {

std::optional<ValueId> masked_before_pooling(GraphBuilder& b, ValueId x, ValueId grad) {
  const Node* const maker = b.graph().producer(grad);
  if (maker == nullptr || maker->op != Op::reduce_window_max_grad || maker->inputs[0] != x) return std::nullopt;
  const auto& nodes = b.graph().nodes();
  const auto pooling = std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) {
    return n.op == Op::reduce_window_max && n.inputs[0] == x && n.attributes == maker->attributes;
  });
  if (pooling == nodes.end()) return std::nullopt;
  const ValueId maxima = pooling->outputs[0], handed_out = maker->inputs[1];
  const Attributes attributes = maker->attributes;
  const ValueId zero = b.like(handed_out, 0);
  const ValueId masked = b.select(b.binary(Op::greater, maxima, zero), handed_out, zero);
  return b.one(Op::reduce_window_max_grad, {x, masked}, attributes);
}

ValueId summed_before_pooling(const GraphBuilder& b, ValueId grad, const Dims& dims) {
  const Node* const maker = b.graph().producer(grad);
  if (maker == nullptr || maker->op != Op::reduce_window_max_grad) return grad;
  const Attributes& a = maker->attributes;
  const Shape &wide = b.shape(grad), &narrow = b.shape(maker->inputs[1]);
  for (int d = 0; d < wide.rank(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    const std::int64_t window = a.integers("window")[i], stride = a.integers("strides")[i],
                       low = a.integers("pads_low")[i];
    const bool windowed = window != 1 || stride != 1 || low != 0 || a.integers("pads_high")[i] != 0;
    if (!windowed) continue;
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) return grad;
    // A window in the padding alone hands out nothing.
    if (a.integers("dilations")[i] != 1 || low >= window || (narrow[d] - 1) * stride - low >= wide[d]) return grad;
  }
  return maker->inputs[1];
}

}  // namespace weft::ops
