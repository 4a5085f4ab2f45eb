// What evaluating a node costs.
#include <algorithm>
#include <limits>

#include "graph/ir/interpret.hpp"

namespace weft {
namespace {

constexpr std::int64_t kEndless = std::numeric_limits<std::int64_t>::max() / 4;

std::int64_t product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kEndless : std::min(result, kEndless);
}

}  // namespace

std::int64_t steps_of(const Graph& graph, const Node& node) {
  std::int64_t elements = 0;
  for (const auto* list : {&node.inputs, &node.outputs})
    for (const ValueId v : *list) elements = std::min(kEndless, elements + graph.type(v).shape.elements());
  const auto shape = [&](std::size_t operand) -> const Shape& { return graph.type(node.inputs.at(operand)).shape; };
  std::int64_t each = 1;  // steps for each element
  switch (node.op) {
    case Op::dot_general:
      for (const std::int64_t d : node.attributes.integers("x_contract"))
        each = product(each, shape(0)[static_cast<int>(d)]);
      break;
    case Op::conv_general:
    case Op::conv_data_grad:
    case Op::conv_filter_grad: each = shape(1).elements(); break;
    case Op::reduce_window_max:
    case Op::reduce_window_sum:
    case Op::reduce_window_max_grad:
    case Op::reduce_window_sum_grad:
      for (const std::int64_t extent : node.attributes.integers("window")) each = product(each, extent);
      break;
    case Op::attention: each = shape(1)[1]; break;
    case Op::attention_grad: each = shape(2)[1]; break;
    default: break;
  }
  return product(elements, std::max<std::int64_t>(each, 1));
}

}  // namespace weft
