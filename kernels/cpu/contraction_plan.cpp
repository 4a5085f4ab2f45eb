// Tables from dot_general, conv_general and its two gradients.
#include "kernels/cpu/contraction_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernels/cpu/copy_plan.hpp"
#include "kernels/cpu/dot_dims.hpp"

namespace weft::cpu {
namespace {

/// Row-major over the dimensions added so far, each a function of its index.
class TableBuilder {
 public:
  template <class Offset>
  TableBuilder& add(std::int64_t extent, const Offset& offset) {
    OffsetTable next;
    next.reserve(table_.size() * static_cast<std::size_t>(extent));
    for (const std::int64_t base : table_)
      for (std::int64_t i = 0; i < extent; ++i) next.push_back(base + offset(i));
    table_ = std::move(next);
    return *this;
  }
  TableBuilder& strided(std::int64_t extent, std::int64_t stride, std::int64_t start = 0) {
    return add(extent, [&](std::int64_t i) { return start + i * stride; });
  }
  /// Dimension `d` of `layout`, whole or `extent` indices of it.
  TableBuilder& dimension(const Layout& layout, int d, std::int64_t extent = -1) {
    return add(extent < 0 ? layout.shape[d] : extent, AxisOffsets(layout, d, d + 1));
  }
  OffsetTable take() { return std::move(table_); }

 private:
  OffsetTable table_{0};
};

OffsetTable table_of(const Layout& layout, const Dims& dims) {
  TableBuilder table;
  for (const std::int64_t d : dims) table.dimension(layout, static_cast<int>(d));
  return table.take();
}

/// Offsets of the first element of each group, `per_group` indices of dimension `d` apart.
OffsetTable groups_of(const Layout& layout, int d, std::int64_t groups, std::int64_t per_group) {
  const AxisOffsets offsets(layout, d, d + 1);
  return TableBuilder().add(groups, [&](std::int64_t g) { return offsets(g * per_group); }).take();
}

Dims iota_dims(std::size_t from, std::size_t count) {
  Dims dims(count);
  std::iota(dims.begin(), dims.end(), static_cast<std::int64_t>(from));
  return dims;
}

void plan_dot(const Graph& body, const Node& node, ContractionPlan& plan) {
  const DotDims d = dot_dims(body, node);
  const Layout x = body.layout(node.inputs[0]), y = body.layout(node.inputs[1]), z = body.layout(node.outputs[0]);
  const std::size_t batch = d.x_batch.size(), free = d.x_free.size();
  plan.a = {node.inputs[0], table_of(x, d.x_batch), table_of(x, d.x_free), table_of(x, d.x_contract)};
  plan.b = {node.inputs[1], table_of(y, d.y_batch), table_of(y, d.y_contract), table_of(y, d.y_free)};
  plan.c = {node.outputs[0], table_of(z, iota_dims(0, batch)), table_of(z, iota_dims(batch, free)),
            table_of(z, iota_dims(batch + free, d.y_free.size()))};
}

/// A convolution in progress: its window, and the operand that the window slides over.
class Convolution {
 public:
  Convolution(const Graph& body, const Node& node, ContractionPlan& plan) : body_(body), node_(node), plan_(plan) {
    const bool data = node.op == Op::conv_data_grad, filter = node.op == Op::conv_filter_grad;
    x_ = data ? node.outputs[0] : node.inputs[0];
    w_ = filter ? node.outputs[0] : node.inputs[1];
    y_ = data ? node.inputs[0] : filter ? node.inputs[1] : node.outputs[0];
    groups_ = node.attributes.integer("groups");
    spatial_ = body.type(x_).shape.rank() - 2;
    outputs_ = body.type(w_).shape[0] / groups_;
    inputs_ = body.type(w_).shape[1];
  }

  void run() {
    const Layout w = body_.layout(w_), y = body_.layout(y_);
    const bool data = node_.op == Op::conv_data_grad;
    if (cuts_blocks(w, 0, outputs_) ||
        (data ? cuts_blocks(body_.layout(x_), 1, inputs_) : cuts_blocks(y, 1, outputs_))) {
      plan_.refusal = "a group of channels that ends inside a block";
      return;
    }
    if (data) return data_grad(w);
    const Layout x = padded_input();
    const OffsetTable positions = TableBuilder(spread(x, "strides", y.shape)).take();
    const OffsetTable taps = window(x);
    const ContractionOperand sliding{x_, groups_of(x, 1, groups_, inputs_), positions, taps};
    const OffsetTable y_positions = positions_of(y), y_groups = groups_of(y, 1, groups_, outputs_);
    const OffsetTable w_taps = taps_of(w, 1, inputs_), w_groups = groups_of(w, 0, groups_, outputs_);
    const OffsetTable y_channels = TableBuilder().dimension(y, 1, outputs_).take();
    const OffsetTable w_channels = TableBuilder().dimension(w, 0, outputs_).take();
    plan_.a = sliding;
    if (node_.op == Op::conv_general) {
      plan_.b = {w_, w_groups, w_taps, w_channels};
      plan_.c = {y_, y_groups, y_positions, y_channels};
    } else {
      std::swap(plan_.a.rows, plan_.a.columns);
      plan_.b = {y_, y_groups, y_positions, y_channels};
      plan_.c = {w_, w_groups, w_taps, w_channels};
    }
  }

 private:
  std::int64_t attribute(const char* name, int i) const {
    return node_.attributes.integers(name)[static_cast<std::size_t>(i)];
  }
  std::int64_t tap_count(int i) const { return body_.type(w_).shape[i + 2]; }

  /// Whether groups begin inside blocks of dimension `d`: their channels then lie differently in each.
  bool cuts_blocks(const Layout& layout, int d, std::int64_t per_group) const {
    return groups_ > 1 && per_group % layout.block_of(d) != 0;
  }

  /// Samples, then spatial positions.
  OffsetTable positions_of(const Layout& layout) const {
    TableBuilder table;
    table.dimension(layout, 0);
    for (int i = 0; i < spatial_; ++i) table.dimension(layout, i + 2);
    return table.take();
  }
  /// `count` channels along dimension `d`, then spatial taps.
  OffsetTable taps_of(const Layout& layout, int d, std::int64_t count) const {
    TableBuilder table;
    table.dimension(layout, d, count);
    for (int i = 0; i < spatial_; ++i) table.dimension(layout, i + 2);
    return table.take();
  }
  /// Where the window starts in `x` for each position of `y`: steps of `attribute`.
  TableBuilder spread(const Layout& x, const char* name, const Shape& y) const {
    TableBuilder table;
    table.dimension(x, 0);
    for (int i = 0; i < spatial_; ++i)
      table.strided(y[i + 2], x.strides[static_cast<std::size_t>(i) + 2] * attribute(name, i));
    return table;
  }
  OffsetTable window(const Layout& x) const {
    TableBuilder table;
    table.dimension(x, 1, inputs_);
    for (int i = 0; i < spatial_; ++i)
      table.strided(tap_count(i), x.strides[static_cast<std::size_t>(i) + 2] * attribute("dilations", i));
    return table.take();
  }

  /// The layout of `v` after `low`, `high` and `interior` zeros (row-major, in scratch) where that changes anything.
  Layout prepared(ValueId v, const Dims& low, const Dims& high, const Dims& interior) {
    const Layout given = body_.layout(v);
    const auto none = [](const Dims& d) { return std::all_of(d.begin(), d.end(), [](auto n) { return n == 0; }); };
    if (none(low) && none(high) && none(interior) && given.blocks.empty()) return given;
    const TensorType type = body_.type(v);
    Dims extents = type.shape.extents();
    for (std::size_t d = 0; d < extents.size(); ++d)
      extents[d] += std::max<std::int64_t>(extents[d] - 1, 0) * interior[d] + low[d] + high[d];
    const TensorType result{type.dtype, Shape(extents)};
    Graph movement;
    const ValueId x = movement.add_input("x", InputRole::feed, type);
    const TensorType scalar{type.dtype, Shape{}};
    const NodeId zero = movement.append(Op::constant, {}, {}, {scalar});
    movement.node(zero).literal = Tensor(type.dtype, Shape{});
    const NodeId pad = movement.append(Op::pad, {x, movement.node(zero).outputs[0]},
                                       {{"low", low}, {"high", high}, {"interior", interior}}, {result});
    const ValueId y = movement.node(pad).outputs[0];
    movement.add_output("y", OutputRole::fetch, y);
    movement.value(x).layout = given;
    movement.value(y).layout = Layout::dense(result.shape);
    plan_.prepare = std::move(movement);
    return Layout::dense(result.shape);
  }

  Layout padded_input() {
    Dims low{0, 0}, high{0, 0};
    for (int i = 0; i < spatial_; ++i) {
      low.push_back(attribute("pads_low", i));
      high.push_back(attribute("pads_high", i));
    }
    return prepared(x_, low, high, Dims(low.size(), 0));
  }

  /// dx at i sums w at tap t times dy at (i + low - t * dilation) / stride, where that divides: dy spread by the
  /// strides, and the filter's taps backwards.
  void data_grad(const Layout& w) {
    const Layout x = body_.layout(x_);
    const Shape& dy = body_.type(y_).shape;
    Dims low{0, 0}, high{0, 0}, interior{0, 0};
    for (int i = 0; i < spatial_; ++i) {
      const std::int64_t reach = (tap_count(i) - 1) * attribute("dilations", i), stride = attribute("strides", i);
      const std::int64_t covered = dy[i + 2] == 0 ? 0 : (dy[i + 2] - 1) * stride + 1;
      low.push_back(reach - attribute("pads_low", i));
      high.push_back(x.shape[i + 2] + reach - low.back() - covered);
      interior.push_back(stride - 1);
    }
    const Layout spread_dy = prepared(y_, low, high, interior);
    TableBuilder taps;
    taps.dimension(spread_dy, 1, outputs_);
    TableBuilder positions;
    positions.dimension(spread_dy, 0);
    for (int i = 0; i < spatial_; ++i) {
      const std::int64_t stride = spread_dy.strides[static_cast<std::size_t>(i) + 2];
      const std::int64_t step = stride * attribute("dilations", i);
      taps.strided(tap_count(i), -step, step * (tap_count(i) - 1));
      positions.strided(x.shape[i + 2], stride);
    }
    plan_.a = {y_, groups_of(spread_dy, 1, groups_, outputs_), positions.take(), taps.take()};
    plan_.b = {w_, groups_of(w, 0, groups_, outputs_), taps_of(w, 0, outputs_), TableBuilder().dimension(w, 1).take()};
    plan_.c = {x_, groups_of(x, 1, groups_, inputs_), positions_of(x), TableBuilder().dimension(x, 1, inputs_).take()};
  }

  const Graph& body_;
  const Node& node_;
  ContractionPlan& plan_;
  ValueId x_ = kNone, w_ = kNone, y_ = kNone;
  std::int64_t groups_ = 1, outputs_ = 0, inputs_ = 0;  ///< channels of a group
  int spatial_ = 0;
};

ContractionPlan no_plan(std::string why) {
  ContractionPlan plan;
  plan.refusal = std::move(why);
  return plan;
}

}  // namespace

ContractionPlan plan_contraction(const Graph& body) {
  if (body.nodes().size() != 1 || body.outputs().size() != 1 || body.nodes()[0].outputs.size() != 1 ||
      body.outputs()[0].value != body.nodes()[0].outputs[0])
    return no_plan("takes one contraction without an epilogue");
  const Node& node = body.nodes()[0];
  ContractionPlan plan;
  if (body.layout(node.outputs[0]).has_padding()) return no_plan("the result's layout is padded");
  switch (node.op) {
    case Op::dot_general: plan_dot(body, node, plan); break;
    case Op::conv_general:
    case Op::conv_data_grad:
    case Op::conv_filter_grad: Convolution(body, node, plan).run(); break;
    default: return no_plan(fmt::format("{} is not a contraction", name_of(node.op)));
  }
  return plan;
}

}  // namespace weft::cpu
