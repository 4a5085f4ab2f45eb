// Values connected by operators that keep a layout are one thing to be laid out; a convolution is a pair of such things
// with a cost for each combination of orders. What is an operand of nothing but its own kind has no preference.
#include "graph/lowering/preferences.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

#include "graph/ir/min_cut.hpp"
#include "graph/lowering/body.hpp"

namespace weft::lowering {
namespace {

/// The orders to choose from. The first is taken where both are as good.
constexpr int kBlocked = 0, kLast = 1, kOrders = 2;

Layout channels_last(const Shape& shape) {
  Dims order{0};
  for (int d = 2; d < shape.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return Layout::permuted(shape, order);
}

struct Convolution {
  NodeId node = kNone;
  ValueId first = kNone, second = kNone;  ///< its activations
};

/// Nullopt where filling up the last block would cost more than it is worth.
std::optional<Layout> in_blocks(const Shape& shape, const std::vector<Layout::Block>& blocks) {
  Layout layout = Layout::blocked(shape, blocks);
  if (2 * (layout.padded(1) - shape[1]) > shape[1]) return std::nullopt;
  return layout;
}

class Preferences {
 public:
  Preferences(Graph graph, const KernelOracle& oracle)
      : graph_(std::move(graph)), oracle_(oracle), group_(graph_.values().size()) {
    std::iota(group_.begin(), group_.end(), 0);
  }

  Graph run() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Node& node = graph_.node(n);
      if (is_convolution(node.op)) {
        const bool filter = node.op == Op::conv_filter_grad;
        convolutions_.push_back({n, node.inputs[0], filter ? node.inputs[1] : node.outputs[0]});
      } else if (node.op == Op::after) {
        connect(node.inputs[0], node.outputs[0]);
      } else if (keeps_layout(node)) {
        for (const ValueId v : node.inputs) connect(v, node.outputs[0]);
      }
    }
    find_block();
    number_groups();
    choose();
    return std::move(graph_);
  }

 private:
  static bool is_convolution(Op op) {
    return op == Op::conv_general || op == Op::conv_data_grad || op == Op::conv_filter_grad;
  }

  static bool keeps_layout(const Node& node) {
    switch (node.op) {
      case Op::reduce_window_max:
      case Op::reduce_window_sum:
      case Op::reduce_window_max_grad:
      case Op::reduce_window_sum_grad: return true;
      default: return is_pointwise(node.op);
    }
  }

  /// Values of one kind: the rank and the channels are equal.
  void connect(ValueId a, ValueId b) {
    const Shape &x = graph_.type(a).shape, &y = graph_.type(b).shape;
    if (x.rank() < 3 || x.rank() != y.rank() || x[0] != y[0] || x[1] != y[1]) return;
    const Node* maker = graph_.producer(a);
    if (maker != nullptr && (maker->op == Op::broadcast || maker->op == Op::constant)) return;
    group_[index(find(a))] = find(b);
  }

  ValueId find(ValueId v) {
    while (group_[index(v)] != v) v = group_[index(v)] = group_[index(group_[index(v)])];
    return v;
  }

  // --- what the device likes ----------------------------------------------------------------------------------------

  KernelAnswer ask(const Convolution& c, const std::optional<Layout>& first,
                   const std::optional<Layout>& second) const {
    Graph body = make_unit(graph_, {c.node}, {graph_.node(c.node).outputs[0]}, "").body;
    const bool filter = graph_.node(c.node).op == Op::conv_filter_grad;
    body.value(body.inputs()[0].value).layout = first;
    // One value read twice is one input of the body.
    const ValueId other = filter ? body.inputs().back().value : body.outputs()[0].value;
    if (other != body.inputs()[0].value) body.value(other).layout = second;
    return oracle_.ask(body);
  }

  /// The size of blocks in which most of the work is done where the device chooses freely.
  void find_block() {
    std::map<std::int64_t, double> work;
    for (const Convolution& c : convolutions_) {
      const KernelAnswer answer = ask(c, std::nullopt, std::nullopt);
      if (!answer.offer) continue;
      const Graph& body = answer.offer->spec.body;
      for (const GraphOutput& o : body.outputs()) {
        const Layout layout = body.layout(o.value);
        if (layout.shape == graph_.type(c.second).shape && layout.blocks.size() == 1 && layout.blocks[0].dimension == 1)
          work[layout.blocks[0].size] += answer.offer->spec.flops;
      }
    }
    const auto most = std::max_element(work.begin(), work.end(), [](auto a, auto b) { return a.second < b.second; });
    block_ = most == work.end() ? 0 : most->first;
  }

  bool divides(const Shape& shape) const { return block_ != 0 && shape[1] % block_ == 0; }

  /// As a convolution may read or write it: what blocks do not divide, filled up with zeros.
  std::optional<Layout> layout(const Shape& shape, int order) const {
    if (order == kLast) return channels_last(shape);
    return block_ == 0 ? std::nullopt : in_blocks(shape, {{1, block_}});
  }

  /// How what is to lie in an order will lie: what blocks do not divide has its channels last.
  int settled(ValueId v, int order) const { return divides(graph_.type(v).shape) ? order : kLast; }

  double reorder_seconds(ValueId v) const {
    const TensorType& type = graph_.type(v);
    const KernelAnswer answer =
        oracle_.ask(reorder_body(type.dtype, Layout::dense(type.shape), channels_last(type.shape)));
    return answer.offer ? answer.offer->seconds : 0;
  }

  // --- the choice ---------------------------------------------------------------------------------------------------

  /// Groups with a convolution get a number; those that hold what arrives row-major keep to that.
  void number_groups() {
    std::set<ValueId> fixed;
    for (const GraphInput& i : graph_.inputs()) fixed.insert(find(i.value));
    for (const Convolution& c : convolutions_)
      for (const ValueId v : {c.first, c.second})
        if (!fixed.count(find(v))) number_.emplace(find(v), number_.size());
  }

  std::optional<std::size_t> number_of(ValueId v) {
    const auto it = number_.find(find(v));
    return it == number_.end() ? std::nullopt : std::optional(it->second);
  }

  /// Seconds of a convolution by the orders of its activations: of the kernels that the device has with both in one
  /// order, the cheapest together with the reorders that it takes.
  bool costs_of(const Convolution& c, double (&cost)[2][2]) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    std::array<double, kOrders> alone{};
    const bool from_row = !number_of(c.first).has_value();
    for (int order = 0; order < kOrders; ++order) {
      const auto second = layout(graph_.type(c.second).shape, order);
      const auto first = from_row ? std::optional(Layout::dense(graph_.type(c.first).shape))
                                  : layout(graph_.type(c.first).shape, order);
      const KernelAnswer answer = first && second ? ask(c, first, second) : KernelAnswer{};
      alone[static_cast<std::size_t>(order)] = answer.offer ? answer.offer->seconds : kNever;
    }
    if (std::min(alone[0], alone[1]) == kNever) return false;
    const double first = from_row ? 0 : reorder_seconds(c.first), second = reorder_seconds(c.second);
    for (int a = 0; a < kOrders; ++a)
      for (int b = 0; b < kOrders; ++b) {
        cost[a][b] = kNever;
        for (int order = 0; order < kOrders; ++order)
          cost[a][b] =
              std::min(cost[a][b], alone[static_cast<std::size_t>(order)] + (settled(c.first, a) == order ? 0 : first) +
                                       (settled(c.second, b) == order ? 0 : second));
      }
    return true;
  }

  void choose() {
    LabelChoice choice(number_.size());
    std::vector<bool> wanted(number_.size(), false);  // by some convolution
    for (const Convolution& c : convolutions_) {
      const auto first = number_of(c.first), second = number_of(c.second);
      double cost[2][2];
      if (!second || !costs_of(c, cost)) continue;
      wanted[*second] = true;
      if (first) wanted[*first] = true;
      if (!first)
        choice.add(*second, cost[0][0], cost[0][1]);
      else if (*first == *second)
        choice.add(*first, cost[0][0], cost[1][1]);
      else
        choice.add(*first, *second, cost);
    }
    const std::vector<bool> last = choice.best();
    // A group whose channels do not all divide into blocks is laid out with them last.
    std::vector<bool> blockable(last.size(), true);
    const auto each = [&](const auto& visit) {
      for (std::size_t v = 0; v < graph_.values().size(); ++v) {
        const auto id = static_cast<ValueId>(v);
        if (graph_.type(id).shape.rank() < 3) continue;
        if (const auto number = number_of(id); number && wanted[*number]) visit(id, *number);
      }
    };
    each([&](ValueId v, std::size_t n) { blockable[n] = blockable[n] && divides(graph_.type(v).shape); });
    each([&](ValueId v, std::size_t n) {
      graph_.value(v).layout = layout(graph_.type(v).shape, last[n] || !blockable[n] ? kLast : kBlocked);
    });
  }

  Graph graph_;
  const KernelOracle& oracle_;
  std::vector<Convolution> convolutions_;
  std::vector<ValueId> group_;  ///< per value: another of its group; the group's name at the end of the chain
  std::map<ValueId, std::size_t> number_;
  std::int64_t block_ = 0;
};

}  // namespace

std::optional<Layout> in_order_of(const Layout& preferred, const Shape& shape) {
  if (preferred.blocks.empty()) return channels_last(shape);
  return in_blocks(shape, preferred.blocks);
}

Graph with_preferred_layouts(Graph graph, const KernelOracle& oracle) {
  return Preferences(std::move(graph), oracle).run();
}

}  // namespace weft::lowering
