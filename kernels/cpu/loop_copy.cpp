// From a movement to boxes: what each operator reads for each index that it writes, dimension by dimension.
#include "kernels/cpu/loop_copy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/cpu/copy_boxes.hpp"
#include "kernels/loops/nest.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr int kMostRank = 32;
constexpr std::size_t kMostBoxes = 1 << 16;

bool moves(Op op) {
  switch (op) {
    case Op::reorder:
    case Op::stop_gradient:
    case Op::reshape:
    case Op::transpose:
    case Op::broadcast:
    case Op::slice:
    case Op::pad:
    case Op::concat:
    case Op::reverse:
    case Op::constant: return true;
    default: return false;
  }
}

/// The node that makes the result, when all others are constants that it reads; else nullptr and a reason.
const Node* movement_of(const Graph& body, std::string& reason) {
  if (body.outputs().size() != 1) return reason = "one result a copy", nullptr;
  const Node* node = body.producer(body.outputs()[0].value);
  if (node == nullptr) return reason = "nothing to do", nullptr;
  if (!moves(node->op)) return reason = fmt::format("{} does more than move elements", name_of(node->op)), nullptr;
  for (const Node& other : body.nodes())
    if (&other != node && other.op != Op::constant) return reason = "more than one operator", nullptr;
  if (body.type(node->outputs[0]).shape.rank() > kMostRank ||
      (!node->inputs.empty() && body.type(node->inputs[0]).shape.rank() > kMostRank))
    return reason = fmt::format("rank above {}", kMostRank), nullptr;
  return node;
}

bool keeps_dimensions(Op op) { return op != Op::reshape && op != Op::transpose && op != Op::broadcast; }

/// Free layouts follow the fixed ones where the operator keeps its dimensions; else they are row-major.
void set_layouts(Graph& body, const Node& node) {
  const ValueId result = node.outputs[0];
  std::optional<Layout> model;
  if (keeps_dimensions(node.op)) {
    for (const ValueId v : node.inputs)
      if (body.value(v).layout && body.type(v).shape.rank() == body.type(result).shape.rank() &&
          (!model || model->is_row_major()))
        model = body.value(v).layout;
    if (!model) model = body.value(result).layout;
  }
  const auto set = [&](ValueId v) {
    if (body.value(v).layout) return;
    const Shape& shape = body.type(v).shape;
    const bool follows = model && shape.rank() == model->shape.rank();
    body.value(v).layout = follows ? loops::same_order(*model, shape) : Layout::dense(shape);
  };
  for (const GraphInput& i : body.inputs()) set(i.value);
  set(result);
}

/// Boxes, and where each source comes from.
class Movement {
 public:
  struct Source {
    int argument = -1;
    Tensor literal;  ///< when there is no argument
  };

  Movement(const Graph& body, const Node& node) : body_(body), node_(node), to_(body.layout(node.outputs[0])) {
    for (const ValueId v : node.inputs) add_source(v);
    ok_ = add_movement() && add_zeros();
  }

  bool ok() const { return ok_; }
  std::vector<CopyBox>& boxes() { return boxes_; }
  std::vector<Source>& sources() { return sources_; }

 private:
  void add_source(ValueId v) {
    const Node* producer = body_.producer(v);
    if (producer != nullptr) {
      sources_.push_back({-1, *producer->literal});
      layouts_.push_back(Layout::dense(body_.type(v).shape));
      return;
    }
    for (std::size_t i = 0; i < body_.inputs().size(); ++i)
      if (body_.inputs()[i].value == v) sources_.push_back({static_cast<int>(i), {}});
    layouts_.push_back(body_.layout(v));
  }

  const Dims& list(const char* name) const { return node_.attributes.integers(name); }

  /// The result's dimension `d` against dimension `from` of source `s` (-1: none, the same element for all).
  CopyAxis axis(int d, std::size_t s, int from, std::vector<AxisRange> ranges) const {
    CopyAxis a;
    a.to = AxisOffsets(to_, d, d + 1);
    if (from >= 0) a.from = AxisOffsets(layouts_[s], from, from + 1);
    a.ranges = std::move(ranges);
    return a;
  }

  bool add(const std::vector<CopyAxis>& axes, std::size_t source) {
    return append_boxes(axes, static_cast<int>(source), kMostBoxes, boxes_);
  }

  bool add_movement() {
    switch (node_.op) {
      case Op::constant:
        sources_.push_back({-1, *node_.literal});
        layouts_.push_back(Layout::dense(node_.literal->shape()));
        return add_reshape();
      case Op::reorder:
      case Op::stop_gradient:
      case Op::reshape: return add_reshape();
      case Op::pad: return add_pad();
      case Op::concat: return add_concat();
      default: return add_gather();
    }
  }

  /// One source, one range a dimension.
  bool add_gather() {
    std::vector<CopyAxis> axes;
    for (int d = 0; d < to_.shape.rank(); ++d) {
      const auto i = static_cast<std::size_t>(d);
      AxisRange range{to_.shape[d]};
      int from = d;
      if (node_.op == Op::transpose) from = static_cast<int>(list("order")[i]);
      if (node_.op == Op::slice) range.from_start = list("start")[i], range.from_step = list("stride")[i];
      if (node_.op == Op::reverse && std::count(list("dims").begin(), list("dims").end(), d) > 0)
        range.from_start = to_.shape[d] - 1, range.from_step = -1;
      if (node_.op == Op::broadcast) {
        const auto at = std::find(list("dims").begin(), list("dims").end(), d);
        from = at == list("dims").end() ? -1 : static_cast<int>(at - list("dims").begin());
        if (from >= 0 && layouts_[0].shape[from] == 1) from = -1;
      }
      axes.push_back(axis(d, 0, from, {range}));
    }
    return add(axes, 0);
  }

  /// Dimensions in the smallest groups that have equal products on both sides.
  bool add_reshape() {
    const Shape &from = layouts_[0].shape, &to = to_.shape;
    if (to.elements() == 0) return true;
    std::vector<CopyAxis> axes;
    int f = 0, t = 0;
    while (f < from.rank() || t < to.rank()) {
      const int f0 = f, t0 = t;
      std::int64_t f_count = f < from.rank() ? from[f++] : 1, t_count = t < to.rank() ? to[t++] : 1;
      while (f_count != t_count) {
        if (f_count < t_count)
          f_count *= from[f++];
        else
          t_count *= to[t++];
      }
      axes.push_back({AxisOffsets(layouts_[0], f0, f), AxisOffsets(to_, t0, t), {{f_count}}});
    }
    return add(axes, 0);
  }

  bool add_concat() {
    const auto joined = static_cast<int>(node_.attributes.integer("axis"));
    std::int64_t start = 0;
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      std::vector<CopyAxis> axes;
      for (int d = 0; d < to_.shape.rank(); ++d) {
        AxisRange range{layouts_[s].shape[d]};
        if (d == joined) range.to_start = start;
        axes.push_back(axis(d, s, d, {range}));
      }
      start += layouts_[s].shape[joined];
      if (!add(axes, s)) return false;
    }
    return true;
  }

  /// Of dimension `d` of a pad: the range that the operand fills, and those that it leaves.
  void pad_ranges(int d, AxisRange& data, std::vector<AxisRange>& fill) const {
    const auto i = static_cast<std::size_t>(d);
    const std::int64_t extent = to_.shape[d], low = list("low")[i], step = list("interior")[i] + 1;
    const std::int64_t skipped = low >= 0 ? 0 : (-low + step - 1) / step, first = low + skipped * step;
    const std::int64_t fitting = first >= extent ? 0 : (extent - 1 - first) / step + 1;
    data = {std::clamp<std::int64_t>(layouts_[0].shape[d] - skipped, 0, fitting), skipped, 1, first, step};
    if (data.count == 0) {
      fill = {{extent}};
      return;
    }
    const std::int64_t last = first + (data.count - 1) * step, gaps = data.count - 1;
    fill.push_back({first, 0, 1, 0, 1});
    fill.push_back({extent - last - 1, 0, 1, last + 1, 1});
    if (step - 1 <= gaps)
      for (std::int64_t j = 1; j < step; ++j) fill.push_back({gaps, 0, 1, first + j, step});
    else
      for (std::int64_t g = 0; g < gaps; ++g) fill.push_back({step - 1, 0, 1, first + g * step + 1, 1});
  }

  /// The data, and for each dimension the elements that are data in all earlier ones but not in this.
  bool add_pad() {
    const int rank = to_.shape.rank();
    std::vector<AxisRange> data(static_cast<std::size_t>(rank));
    std::vector<std::vector<AxisRange>> fill(data.size());
    std::vector<CopyAxis> axes;
    for (int d = 0; d < rank; ++d) {
      const auto i = static_cast<std::size_t>(d);
      pad_ranges(d, data[i], fill[i]);
      axes.push_back(axis(d, 0, d, {data[i]}));
    }
    if (!add(axes, 0)) return false;
    for (int filled = 0; filled < rank; ++filled) {
      axes.clear();
      for (int d = 0; d < rank; ++d) {
        const auto i = static_cast<std::size_t>(d);
        axes.push_back(axis(d, 1, -1,
                            d < filled    ? std::vector<AxisRange>{data[i]}
                            : d == filled ? fill[i]
                                          : std::vector<AxisRange>{{to_.shape[d]}}));
      }
      if (!add(axes, 1)) return false;
    }
    return true;
  }

  /// Padding of the result's layout: elements beyond the extent in one dimension, inside it in all earlier ones.
  bool add_zeros() {
    if (!to_.has_padding()) return true;
    const std::size_t zero = sources_.size();
    sources_.push_back({-1, Tensor(body_.type(node_.outputs[0]).dtype, Shape{})});
    for (int padded = 0; padded < to_.shape.rank(); ++padded) {
      std::vector<CopyAxis> axes;
      for (int d = 0; d < to_.shape.rank(); ++d) {
        const std::int64_t extent = to_.shape[d], whole = to_.padded(d);
        AxisRange range{d < padded ? extent : d == padded ? whole - extent : whole};
        if (d == padded) range.to_start = extent;
        axes.push_back(axis(d, zero, -1, {range}));
      }
      if (!add(axes, zero)) return false;
    }
    return true;
  }

  const Graph& body_;
  const Node& node_;
  Layout to_;
  std::vector<Layout> layouts_;  ///< by source
  std::vector<Source> sources_;
  std::vector<CopyBox> boxes_;
  bool ok_ = false;
};

class CopyKernel final : public CpuKernel {
 public:
  CopyKernel(Movement movement, std::size_t result, std::size_t size, int threads)
      : sources_(std::move(movement.sources())), copier_(std::move(movement.boxes()), size, threads), result_(result) {}

  void run(std::span<std::byte* const> arguments) const override {
    std::vector<const std::byte*> from;
    for (const Movement::Source& s : sources_)
      from.push_back(s.argument >= 0 ? arguments[static_cast<std::size_t>(s.argument)] : s.literal.data());
    copier_.run(from, arguments[result_]);
  }

 private:
  std::vector<Movement::Source> sources_;
  BoxCopier copier_;
  std::size_t result_;
};

}  // namespace

Claim claim_copy(const Graph& body, const Context&) {
  std::string reason;
  const Node* node = movement_of(body, reason);
  if (node == nullptr) return Claim::refuse(std::move(reason));
  KernelSpec spec;
  spec.body = body;
  set_layouts(spec.body, *node);
  const Node& own = *spec.body.producer(spec.body.outputs()[0].value);
  if (!Movement(spec.body, own).ok())
    return Claim::refuse(fmt::format("more than {} strided boxes between these layouts", kMostBoxes));
  spec.implementation = "loop.copy";
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_copy(const KernelSpec& spec, const Context& context) {
  std::string reason;
  const Node* node = movement_of(spec.body, reason);
  check_internal(node != nullptr, "copy kernel compiled without a claim: " + reason);
  Movement movement(spec.body, *node);
  check_internal(movement.ok(), "copy kernel compiled without a claim: too many boxes");
  return std::make_unique<CopyKernel>(std::move(movement), spec.body.inputs().size(),
                                      size_of(spec.body.type(node->outputs[0]).dtype), context.threads);
}

}  // namespace weft::cpu
