// Which value is which side, and the strides of every loop.
#include "kernels/loops/window_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "kernels/loops/nest.hpp"

namespace weft::loops {
namespace {

bool is_windowed(const Attributes& a, std::size_t d) {
  return a.integers("window")[d] != 1 || a.integers("strides")[d] != 1 || a.integers("pads_low")[d] != 0 ||
         a.integers("pads_high")[d] != 0;
}

std::string read_values(const Graph& body, WindowPlan& p) {
  if (body.nodes().size() != 1 || body.outputs().size() != 1) return "one windowed operator a body";
  const Node& node = body.nodes()[0];
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

/// Sets every layout of `body` that is free: the wide side's like the operand of that side, or like the narrow one's.
void set_layouts(Graph& body, const Node& node, const WindowPlan& p) {
  const auto like = [&](ValueId free, ValueId model) {
    auto& layout = body.value(free).layout;
    if (!layout && body.value(model).layout) layout = same_order(*body.value(model).layout, body.type(free).shape);
  };
  const ValueId result = node.outputs[0];
  like(p.x, result);
  like(p.x, p.y);
  like(result, p.x);
  like(p.y, p.x);
  for (const auto* list : {&node.inputs, &node.outputs})
    for (const ValueId v : *list)
      if (!body.value(v).layout) body.value(v).layout = Layout::dense(body.type(v).shape);
}

std::string read_loops(const Graph& body, const Node& node, WindowPlan& p) {
  const Attributes& a = node.attributes;
  const Layout x = body.layout(p.x), y = body.layout(p.y);
  DimMap identity;
  for (int d = 0; d < x.shape.rank(); ++d) identity.push_back(d);
  for (int d = 0; d < x.shape.rank(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (!is_windowed(a, i)) continue;
    if (x.block_of(d) != 1 || y.block_of(d) != 1) return "a windowed dimension is blocked";
    p.windows.push_back({y.shape[d], x.shape[d], a.integers("window")[i], a.integers("strides")[i],
                         a.integers("pads_low")[i], a.integers("dilations")[i], x.strides[i], y.strides[i]});
  }
  std::vector<Loop> loops = loops_of(x);
  std::erase_if(loops, [&](const Loop& l) { return is_windowed(a, static_cast<std::size_t>(l.dimension)); });
  const auto xs = strides_in(loops, x, identity), ys = strides_in(loops, y, identity);
  if (!xs || !ys) return fmt::format("wants equal blocks, given {} and {}", x.str(), y.str());
  // Padding is walked as elements are, and stays zero: what windows make of zeros is zero, if they see any.
  if (x.has_padding() != y.has_padding()) return "wants both sides padded, or none";
  for (const Layout::Block& b : x.blocks)
    if (x.shape[b.dimension] == 1) return "a dimension of one element is blocked";
  const auto sees_nothing = [](const WindowLoop& w) {
    return w.low >= (w.window - 1) * w.dilation + 1 || (w.outputs - 1) * w.stride - w.low >= w.inputs || w.dilation > 1;
  };
  if (x.has_padding() && p.op == Op::reduce_window_max && std::any_of(p.windows.begin(), p.windows.end(), sees_nothing))
    return "a window that may see nothing, in a padded layout";
  Nest nest;
  for (const Loop& l : loops) nest.extents.push_back(l.extent);
  nest.strides = {*xs, *ys};
  nest.collapse();
  for (std::size_t l = 0; l < nest.extents.size(); ++l)
    p.batch.push_back({nest.extents[l], nest.strides[0][l], nest.strides[1][l]});
  // Runs are contiguous on the wide side at least.
  auto run = std::find_if(p.batch.begin(), p.batch.end(),
                          [](const WindowBatchLoop& b) { return b.x_stride == 1 && b.y_stride == 1; });
  if (run == p.batch.end())
    run = std::find_if(p.batch.begin(), p.batch.end(), [](const WindowBatchLoop& b) { return b.x_stride == 1; });
  if (run != p.batch.end()) {
    p.run = *run;
    p.batch.erase(run);
  }
  return {};
}

}  // namespace

std::pair<std::int64_t, std::int64_t> WindowLoop::interior() const {
  // o * stride >= low, and o * stride - low + (window - 1) * dilation < inputs.
  const std::int64_t room = inputs - 1 + low - (window - 1) * dilation;
  const std::int64_t first = std::clamp<std::int64_t>((low + stride - 1) / stride, 0, outputs);
  const std::int64_t last = room < 0 ? first : std::clamp<std::int64_t>(room / stride + 1, first, outputs);
  return {first, last};
}

bool WindowLoop::tiles() const { return low == 0 && dilation == 1 && window == stride && outputs * stride == inputs; }

std::int64_t WindowPlan::positions() const {
  std::int64_t total = 1;
  for (const WindowBatchLoop& b : batch) total *= b.extent;
  return total;
}

std::int64_t WindowPlan::taps() const {
  std::int64_t total = 1;
  for (const WindowLoop& w : windows) total *= w.window;
  return total;
}

bool WindowPlan::tiles() const {
  return std::all_of(windows.begin(), windows.end(), [](const WindowLoop& w) { return w.tiles(); });
}

WindowPlan plan_window(Graph& body) {
  WindowPlan p;
  p.refusal = read_values(body, p);
  if (!p.refusal.empty()) return p;
  const Node node = body.nodes()[0];
  set_layouts(body, node, p);
  if (p.op == Op::reduce_window_max_grad && !body.layout(node.outputs[0]).same_placement(body.layout(p.x)))
    p.refusal = "wants the gradient in the layout of the operand";
  else
    p.refusal = read_loops(body, node, p);
  return p;
}

}  // namespace weft::loops
