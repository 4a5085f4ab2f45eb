// Which value is which side, and the strides of every loop.
#include "kernels/cpu/window_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "kernels/loops/nest.hpp"

namespace weft::cpu {
namespace {

bool is_windowed(const Attributes& a, std::size_t d) {
  return a.integers("window")[d] != 1 || a.integers("strides")[d] != 1 || a.integers("pads_low")[d] != 0 ||
         a.integers("pads_high")[d] != 0;
}

std::string read_values(const Graph& body, WindowPlan& p, const Node*& root) {
  if (body.nodes().size() != 1 || body.outputs().size() != 1) return "one windowed operator a body";
  const Node& node = body.nodes()[0];
  root = &node;
  p.op = node.op;
  switch (node.op) {
    case Op::reduce_window_max:
    case Op::reduce_window_sum: p.x = node.inputs[0], p.y = node.outputs[0]; break;
    case Op::reduce_window_max_grad: p.x = node.inputs[0], p.y = node.inputs[1]; break;
    case Op::reduce_window_sum_grad: p.x = node.outputs[0], p.y = node.inputs[0]; break;
    default: return fmt::format("{} has no window", name_of(node.op));
  }
  if (body.outputs()[0].value != node.outputs[0]) return "a result that the operator does not make";
  p.type = body.type(p.x).dtype;
  if (p.type == DType::boolean) return "bool is not supported";
  return {};
}

/// Sets every layout of `body` that is free, like the one that is fixed.
void set_layouts(Graph& body, const Node& node) {
  std::optional<Layout> model;
  for (const auto* list : {&node.inputs, &node.outputs})
    for (const ValueId v : *list)
      if (body.value(v).layout && (!model || (model->blocks.empty() && !body.value(v).layout->blocks.empty())))
        model = body.value(v).layout;
  for (const auto* list : {&node.inputs, &node.outputs})
    for (const ValueId v : *list)
      if (!body.value(v).layout)
        body.value(v).layout =
            model ? loops::same_order(*model, body.type(v).shape) : Layout::dense(body.type(v).shape);
}

std::string read_loops(const Graph& body, const Node& node, WindowPlan& p) {
  const Attributes& a = node.attributes;
  const Layout x = body.layout(p.x), y = body.layout(p.y);
  if (x.has_padding() || y.has_padding()) return "padded layouts are not supported";
  loops::DimMap identity;
  for (int d = 0; d < x.shape.rank(); ++d) identity.push_back(d);
  for (int d = 0; d < x.shape.rank(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (!is_windowed(a, i)) continue;
    if (x.block_of(d) != 1 || y.block_of(d) != 1) return "a windowed dimension is blocked";
    p.windows.push_back({y.shape[d], x.shape[d], a.integers("window")[i], a.integers("strides")[i],
                         a.integers("pads_low")[i], a.integers("dilations")[i], x.strides[i], y.strides[i]});
  }
  std::vector<loops::Loop> nest = loops::loops_of(x);
  std::erase_if(nest, [&](const loops::Loop& l) { return is_windowed(a, static_cast<std::size_t>(l.dimension)); });
  const auto xs = loops::strides_in(nest, x, identity), ys = loops::strides_in(nest, y, identity);
  if (!xs || !ys) return fmt::format("wants equal blocks, given {} and {}", x.str(), y.str());
  for (std::size_t l = 0; l < nest.size(); ++l)
    if (nest[l].extent != 1) p.batch.push_back({nest[l].extent, (*xs)[l], (*ys)[l]});
  // Runs are contiguous on the wide side at least.
  auto run = std::find_if(p.batch.begin(), p.batch.end(),
                          [](const WindowBatchLoop& b) { return b.x_stride == 1 && b.y_stride == 1; });
  if (run == p.batch.end())
    run = std::find_if(p.batch.begin(), p.batch.end(), [](const WindowBatchLoop& b) { return b.x_stride == 1; });
  if (run != p.batch.end()) {
    p.run = *run;
    p.batch.erase(run);
  }
  for (const WindowBatchLoop& b : p.batch) p.positions *= b.extent;
  p.x_elements = x.shape.elements();
  p.y_elements = y.shape.elements();
  const bool dense = x.storage_elements() == p.x_elements && y.storage_elements() == p.y_elements;
  return dense ? "" : "layouts with gaps are not supported";
}

}  // namespace

WindowPlan plan_window(Graph& body) {
  WindowPlan p;
  const Node* root = nullptr;
  p.refusal = read_values(body, p, root);
  if (!p.refusal.empty()) return p;
  const Node node = *root;
  set_layouts(body, node);
  if (p.op == Op::reduce_window_max_grad && !body.layout(node.outputs[0]).same_placement(body.layout(p.x))) {
    p.refusal = "wants the gradient in the layout of the operand";
    return p;
  }
  p.refusal = read_loops(body, node, p);
  return p;
}

}  // namespace weft::cpu
