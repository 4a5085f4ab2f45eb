// Following movement from operands to a node and from its results on.
#include "kernels/loops/strided.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace weft::loops {
namespace {

class Tracer {
 public:
  Tracer(StridedBody& result, bool (*computes)(Op)) : result_(result), body_(result.body), computes_(computes) {}

  void run() {
    for (const Node& node : body_.nodes())
      if (computes_(node.op)) {
        if (result_.node != nullptr) return refuse("it computes twice");
        result_.node = &node;
      }
    if (result_.node == nullptr) return refuse("there is no attention in it");
    visited_.insert(result_.node);
    for (const ValueId v : result_.node->inputs) {
      auto view = view_of(v);
      if (!view) return refuse("an operand is no strided view of an input");
      result_.operands.push_back(std::move(*view));
    }
    result_.results.resize(result_.node->outputs.size());
    const auto first = static_cast<int>(body_.inputs().size());
    for (std::size_t o = 0; o < body_.outputs().size(); ++o) {
      const ValueId v = body_.outputs()[o].value;
      const auto strides = plain(v);
      if (!strides || !place(v, {first + static_cast<int>(o), 0, *strides}))
        return refuse("a result is no strided view of an output");
    }
    if (visited_.size() != body_.nodes().size()) refuse("something in it is not read");
  }

 private:
  void refuse(const char* why) {
    if (result_.refusal.empty()) result_.refusal = why;
  }

  std::optional<Dims> plain(ValueId v) {
    if (!body_.value(v).layout) body_.value(v).layout = Layout::dense(body_.type(v).shape);
    const Layout& layout = *body_.value(v).layout;
    return layout.blocks.empty() ? std::optional(layout.strides) : std::nullopt;
  }

  std::optional<StridedView> view_of(ValueId v) {
    const Node* node = body_.producer(v);
    if (node == nullptr) {
      const auto strides = plain(v);
      const auto& inputs = body_.inputs();
      const auto at = std::find_if(inputs.begin(), inputs.end(), [&](const GraphInput& i) { return i.value == v; });
      if (!strides || at == inputs.end()) return std::nullopt;
      return StridedView{static_cast<int>(at - inputs.begin()), 0, *strides};
    }
    if (node->op != Op::slice && node->op != Op::transpose && node->op != Op::reshape) return std::nullopt;
    auto view = view_of(node->inputs[0]);
    if (!view) return std::nullopt;
    visited_.insert(node);
    if (node->op == Op::reshape) {
      auto strides = reshaped_strides(body_.type(node->inputs[0]).shape, view->strides, body_.type(v).shape);
      if (!strides) return std::nullopt;
      view->strides = std::move(*strides);
    } else if (node->op == Op::transpose) {
      const Dims& order = node->attributes.integers("order");
      Dims strides;
      for (const std::int64_t d : order) strides.push_back(view->strides[static_cast<std::size_t>(d)]);
      view->strides = std::move(strides);
    } else {
      const Dims &start = node->attributes.integers("start"), &step = node->attributes.integers("stride");
      for (std::size_t d = 0; d < start.size(); ++d) {
        view->offset += start[d] * view->strides[d];
        view->strides[d] *= step[d];
      }
    }
    return view;
  }

  /// `v` lies so: where do the results lie that it is made of?
  bool place(ValueId v, StridedView view) {
    const Node* node = body_.producer(v);
    if (node == nullptr) return false;
    if (node == result_.node) {
      auto& slot = result_.results[static_cast<std::size_t>(body_.value(v).result)];
      if (slot) return false;  // two copies of one result
      slot = std::move(view);
      return true;
    }
    if (!visited_.insert(node).second) return false;
    if (node->op == Op::reshape) {
      const ValueId x = node->inputs[0];
      auto strides = reshaped_strides(body_.type(v).shape, view.strides, body_.type(x).shape);
      return strides && place(x, {view.argument, view.offset, std::move(*strides)});
    }
    if (node->op == Op::transpose) {
      const Dims& order = node->attributes.integers("order");
      Dims strides(order.size());
      for (std::size_t d = 0; d < order.size(); ++d) strides[static_cast<std::size_t>(order[d])] = view.strides[d];
      return place(node->inputs[0], {view.argument, view.offset, std::move(strides)});
    }
    if (node->op != Op::concat) return false;
    const auto axis = static_cast<std::size_t>(node->attributes.integer("axis"));
    for (const ValueId x : node->inputs) {
      if (!place(x, view)) return false;
      view.offset += body_.type(x).shape[static_cast<int>(axis)] * view.strides[axis];
    }
    return true;
  }

  StridedBody& result_;
  Graph& body_;
  bool (*computes_)(Op);
  std::set<const Node*> visited_;
};

}  // namespace

std::optional<Dims> reshaped_strides(const Shape& from, const Dims& strides, const Shape& to) {
  Dims result(static_cast<std::size_t>(to.rank()), 1);
  if (from.elements() == 0) return result;
  int next = to.rank() - 1;
  // From the last dimension on: runs of `from` that are walked as one are cut into extents of `to`.
  for (int d = from.rank() - 1; d >= 0;) {
    if (from[d] == 1) {
      --d;
      continue;
    }
    const std::int64_t step = strides[static_cast<std::size_t>(d)];
    std::int64_t run = from[d];
    int outer = d - 1;
    while (outer >= 0 && (from[outer] == 1 || strides[static_cast<std::size_t>(outer)] == run * step))
      run *= from[outer--];
    std::int64_t cut = 1;
    while (next >= 0 && (cut < run || to[next] == 1)) {
      result[static_cast<std::size_t>(next)] = cut * step;
      cut *= to[next--];
    }
    if (cut != run) return std::nullopt;
    d = outer;
  }
  for (; next >= 0; --next)
    if (to[next] != 1) return std::nullopt;
  return result;
}

StridedBody strided_body(const Graph& body, bool (*computes)(Op op)) {
  StridedBody result;
  result.body = body;
  Tracer(result, computes).run();
  return result;
}

}  // namespace weft::loops
