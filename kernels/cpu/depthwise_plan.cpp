// Layouts, phases and taps.
#include "kernels/cpu/depthwise_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cpu/copy_plan.hpp"

namespace weft::cpu {
namespace {

/// Channels in blocks of 16 where those divide them, or last.
Layout favourite(const Shape& shape) {
  if (shape[1] % kDepthwiseLanes == 0) return Layout::blocked(shape, {{1, kDepthwiseLanes}});
  Dims order{0};
  for (int d = 2; d < shape.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return Layout::permuted(shape, order);
}

class Planner {
 public:
  Planner(Graph& body, const Node& node) : body_(body), node_(node) {}

  DepthwisePlan run() {
    const bool data = node_.op == Op::conv_data_grad, filter = node_.op == Op::conv_filter_grad;
    const ValueId x = data ? node_.outputs[0] : node_.inputs[0];
    const ValueId y = data ? node_.inputs[0] : filter ? node_.inputs[1] : node_.outputs[0];
    plan_.op = node_.op;
    plan_.filter = filter ? node_.outputs[0] : node_.inputs[1];
    plan_.line = data ? x : y;
    plan_.slide = data ? y : x;
    check_types(x, y);
    if (!plan_.refusal.empty()) return std::move(plan_);
    const Shape& xs = body_.type(x).shape;
    plan_.samples = xs[0];
    plan_.channels = xs[1];
    plan_.taps = body_.type(plan_.filter).shape.elements() / plan_.channels;
    choose_layouts();
    if (!plan_.refusal.empty()) return std::move(plan_);
    for (int i = 0; i + 1 < spatial(); ++i) plan_.outer.push_back(outer_taps(i));
    find_runs(spatial() - 1);
    return std::move(plan_);
  }

 private:
  int spatial() const { return body_.type(plan_.line).shape.rank() - 2; }
  std::int64_t attribute(const char* name, int i) const {
    return node_.attributes.integers(name)[static_cast<std::size_t>(i)];
  }
  std::int64_t extent(ValueId v, int i) const { return body_.type(v).shape[i + 2]; }

  void check_types(ValueId x, ValueId y) {
    const Shape &xs = body_.type(x).shape, &ys = body_.type(y).shape;
    const std::int64_t groups = node_.attributes.integer("groups");
    for (const ValueId v : {x, y, plan_.filter})
      if (body_.type(v).dtype != DType::f32) plan_.refusal = "takes f32 only";
    if (xs.rank() < 3) plan_.refusal = "takes windows of one dimension at least";
    if (groups != xs[1] || groups != ys[1]) plan_.refusal = "takes one channel a group only";
    if (xs[1] < kDepthwiseLanes) plan_.refusal = "takes 16 channels at least";
    if (xs.elements() == 0 || ys.elements() == 0 || body_.type(plan_.filter).shape.elements() == 0)
      plan_.refusal = "an operand without elements";
    for (const char* pads : {"pads_low", "pads_high"})
      for (const std::int64_t p : node_.attributes.integers(pads))
        if (p < 0) plan_.refusal = "negative padding";
  }

  void choose_layouts() {
    auto &line = body_.value(plan_.line).layout, &slide = body_.value(plan_.slide).layout;
    const auto alike = [&](const std::optional<Layout>& fixed, ValueId v) {
      const Shape& shape = body_.type(v).shape;
      if (!fixed) return favourite(shape);
      if (!fixed->blocks.empty()) return Layout::blocked(shape, fixed->blocks);
      return fixed->is_row_major() ? favourite(shape) : Layout::permuted(shape, last_order(shape.rank()));
    };
    if (!line) line = alike(slide, plan_.line);
    if (!slide) slide = alike(line, plan_.slide);
    auto& filter = body_.value(plan_.filter).layout;
    if (!filter) filter = Layout::dense(body_.type(plan_.filter).shape);
    if (!filter->is_row_major()) plan_.refusal = "wants a row-major filter, given " + filter->str();
    for (std::int64_t c = 0; c < plan_.channels; c += kDepthwiseLanes) {
      const std::int64_t begin = std::min(c, plan_.channels - kDepthwiseLanes);
      block_starts_.push_back(begin);
      plan_.first_lanes.push_back(c - begin);
    }
    plan_.line_place = place_of(*line);
    plan_.slide_place = place_of(*slide);
  }

  static Dims last_order(int rank) {
    Dims order{0};
    for (int d = 2; d < rank; ++d) order.push_back(d);
    order.push_back(1);
    return order;
  }

  DepthwisePlan::Place place_of(const Layout& layout) {
    DepthwisePlan::Place place;
    const AxisOffsets channels(layout, 1, 2);
    bool side_by_side = true;
    for (const std::int64_t begin : block_starts_) {
      place.blocks.push_back(channels(begin));
      for (std::int64_t c = 1; c < kDepthwiseLanes; ++c)
        side_by_side = side_by_side && channels(begin + c) == channels(begin) + c;
    }
    const bool others_plain = std::all_of(layout.blocks.begin(), layout.blocks.end(),
                                          [](const Layout::Block& b) { return b.dimension == 1; });
    if (!side_by_side || !others_plain || layout.has_padding())
      plan_.refusal = "wants 16 channels side by side, given " + layout.str();
    place.sample = layout.strides[0];
    place.spatial = Dims(layout.strides.begin() + 2, layout.strides.end());
    return place;
  }

  /// Where tap `t` of dimension `i` puts the sliding operand for position `at` of the line; -1 where it does not.
  std::int64_t slid(int i, std::int64_t at, std::int64_t t) const {
    const std::int64_t stride = attribute("strides", i), low = attribute("pads_low", i);
    const std::int64_t reach = t * attribute("dilations", i);
    std::int64_t to = at * stride + reach - low;
    if (plan_.op == Op::conv_data_grad) {
      to = at + low - reach;
      if (to < 0 || to % stride != 0) return -1;
      to /= stride;
    }
    return to >= 0 && to < extent(plan_.slide, i) ? to : -1;
  }

  DepthwisePlan::OuterTaps outer_taps(int i) const {
    std::int64_t weight = 1;  // of a tap in the row-major filter
    for (int d = i + 1; d < spatial(); ++d) weight *= extent(plan_.filter, d);
    DepthwisePlan::OuterTaps result;
    for (std::int64_t at = 0; at < extent(plan_.line, i); ++at) {
      result.emplace_back();
      for (std::int64_t t = 0; t < extent(plan_.filter, i); ++t)
        if (const std::int64_t to = slid(i, at, t); to >= 0)
          result.back().push_back({to * plan_.slide_place.spatial[static_cast<std::size_t>(i)], t * weight});
    }
    return result;
  }

  /// Neighbours of one phase with the same taps inside share a run.
  void find_runs(int i) {
    const bool data = plan_.op == Op::conv_data_grad;
    const std::int64_t phases = data ? attribute("strides", i) : 1;
    const std::int64_t line_stride = plan_.line_place.spatial.back(), slide_stride = plan_.slide_place.spatial.back();
    plan_.line_step = phases * line_stride;
    plan_.slide_step = (data ? 1 : attribute("strides", i)) * slide_stride;
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      std::vector<std::int64_t> former;
      for (std::int64_t at = phase; at < extent(plan_.line, i); at += phases) {
        DepthwisePlan::Run run{at * line_stride, 1, {}};
        std::vector<std::int64_t> inside;
        for (std::int64_t t = 0; t < extent(plan_.filter, i); ++t)
          if (const std::int64_t to = slid(i, at, t); to >= 0) {
            inside.push_back(t);
            run.taps.push_back({to * slide_stride, t});
          }
        if (at > phase && inside == former)
          ++plan_.runs.back().count;
        else
          plan_.runs.push_back(std::move(run));
        former = std::move(inside);
      }
    }
  }

  Graph& body_;
  const Node& node_;
  DepthwisePlan plan_;
  std::vector<std::int64_t> block_starts_;
};

}  // namespace

DepthwisePlan plan_depthwise(Graph& body) {
  DepthwisePlan none;
  if (body.nodes().size() != 1 || body.outputs().size() != 1 || body.nodes()[0].outputs.size() != 1 ||
      body.outputs()[0].value != body.nodes()[0].outputs[0]) {
    none.refusal = "takes one convolution without an epilogue";
    return none;
  }
  const Node& node = body.nodes()[0];
  if (node.op != Op::conv_general && node.op != Op::conv_data_grad && node.op != Op::conv_filter_grad) {
    none.refusal = fmt::format("{} is not a convolution", name_of(node.op));
    return none;
  }
  return Planner(body, node).run();
}

}  // namespace weft::cpu
