// Values and layouts. Whatever has the shape that is walked lies in blocks of as many channels as vectors hold, or
// without blocks; vectors of one number a channel lie anyhow.
#include "kernels/loops/depthwise_values.hpp"

#include <fmt/format.h>

#include "kernels/loops/math.hpp"

namespace weft::loops {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr int kMostNested = 512;

/// Channels in blocks where those divide them, or last.
Layout favourite(const Shape& shape) {
  if (shape[1] % kLanes == 0) return Layout::blocked(shape, {{1, kLanes}});
  return Layout::permuted(shape, {0, 2, 3, 1});
}

bool is_image(const Shape& shape, std::int64_t channels) {
  return shape.rank() == 4 && shape[1] == channels && shape[2] * shape[3] * shape[0] > 1;
}

}  // namespace

std::string choose_depthwise_layouts(Graph& body, std::int64_t& width) {
  std::int64_t channels = 0;
  for (const Node& node : body.nodes())
    if (class_of(node.op) == OpClass::contraction) channels = body.type(node.inputs[0]).shape[1];
  std::vector<ValueId> all;
  for (const GraphInput& i : body.inputs()) all.push_back(i.value);
  for (const GraphOutput& o : body.outputs()) all.push_back(o.value);
  width = 0;
  const Layout* model = nullptr;
  for (const ValueId v : all) {
    const auto& layout = body.value(v).layout;
    if (!layout || !is_image(layout->shape, channels)) continue;
    if (model == nullptr) model = &*layout;
    if (layout->blocks.empty()) continue;
    const bool plain = layout->blocks.size() == 1 && layout->blocks[0].dimension == 1 && !layout->has_padding();
    const std::int64_t block = layout->block_of(1);
    if (!plain || (block != 8 && block != kLanes) || (width != 0 && width != block))
      return "wants channels in equal blocks of 8 or 16, given " + layout->str();
    width = block;
    model = &*layout;
  }
  const std::optional<Layout> like = model != nullptr ? std::optional(*model) : std::nullopt;
  for (const ValueId v : all) {
    auto& layout = body.value(v).layout;
    const Shape& shape = body.type(v).shape;
    if (!layout && is_image(shape, channels)) {
      if (!like)
        layout = favourite(shape);
      else if (!like->blocks.empty())
        layout = Layout::blocked(shape, like->blocks);
      else
        layout = like->strides[1] == 1 ? Layout::permuted(shape, {0, 2, 3, 1}) : Layout::dense(shape);
      if (!layout->blocks.empty()) width = layout->block_of(1);
    }
    if (!layout) layout = Layout::dense(shape);
    if (!is_image(shape, channels) && !layout->blocks.empty()) return "wants filters and vectors without blocks";
  }
  if (width == 0) width = kLanes;
  for (const Node& node : body.nodes())
    if (class_of(node.op) == OpClass::contraction) {
      const ValueId filter = node.op == Op::conv_filter_grad ? node.outputs[0] : node.inputs[1];
      if (!body.layout(filter).is_row_major()) return "wants a row-major filter, given " + body.layout(filter).str();
    }
  return {};
}

DepthwiseValues::DepthwiseValues(Builder& builder, const Graph& body, std::int64_t width)
    : b_(builder), body_(body), width_(width) {
  int argument = 0;
  const auto add = [&](ValueId v) {
    buffers_.emplace(v, b_.kernel().add_buffer({body.type(v).dtype, argument, 0}));
    ++argument;
  };
  for (const GraphInput& i : body.inputs()) add(i.value);
  for (const GraphOutput& o : body.outputs()) add(o.value);
}

ExprId DepthwiseValues::refuse(std::string why) {
  if (refusal_.empty()) refusal_ = std::move(why);
  return b_.real(0);
}

ExprId DepthwiseValues::address(ValueId v, const DepthwisePosition& at) {
  const Layout layout = body_.layout(v);
  const auto times = [&](ExprId index, std::int64_t stride) { return b_.mul(index, b_.integer(stride)); };
  ExprId e = times(at.sample, layout.strides[0]);
  if (layout.blocks.empty())
    e = b_.add(e, b_.add(times(block_, layout.strides[1] * width_), times(lane_, layout.strides[1])));
  else
    e = b_.add(b_.add(e, times(block_, layout.strides[1])), lane_);
  e = b_.add(e, times(at.row, layout.strides[2]));
  return b_.add(e, times(at.column, layout.strides[3]));
}

/// Of an input that has one element a channel, or one.
ExprId DepthwiseValues::small_address(ValueId v) {
  const Layout layout = body_.layout(v);
  for (int d = 0; d < layout.shape.rank(); ++d)
    if (layout.shape[d] != 1) return b_.mul(channel(), b_.integer(layout.strides[static_cast<std::size_t>(d)]));
  return b_.integer(0);
}

ExprId DepthwiseValues::value(ValueId v, DepthwisePosition& at) {
  if (const auto known = at.known.find(v); known != at.known.end()) return known->second;
  if (!refusal_.empty()) return b_.real(0);
  if (++depth_ > kMostNested) return refuse("operations nested too deeply");
  const ExprId e = make(v, at);
  --depth_;
  at.known.emplace(v, e);
  return e;
}

ExprId DepthwiseValues::make(ValueId v, DepthwisePosition& at) {
  const TensorType& type = body_.type(v);
  const std::int64_t channels = at.shape[1];
  const bool whole = type.shape == at.shape;
  std::int64_t widest = 1;
  for (int d = 0; d < type.shape.rank(); ++d) widest = std::max(widest, type.shape[d]);
  const bool small = type.shape.elements() == 1 || (type.shape.elements() == channels && widest == channels);
  if (!whole && !small) return refuse("a value that has neither the shape of what is walked nor one number a channel");
  const Node* node = body_.producer(v);
  if (node == nullptr) return b_.load(buffer(v), whole ? address(v, at) : small_address(v));
  switch (node->op) {
    case Op::constant: {
      if (type.shape.elements() != 1) return refuse("a constant of more than one element");
      const Tensor& literal = *node->literal;
      if (is_float(type.dtype)) return b_.real(literal.cast(DType::f64).values<double>()[0], type.dtype);
      return b_.integer(literal.cast(DType::i64).values<std::int64_t>()[0], type.dtype);
    }
    case Op::broadcast: {
      const Shape& from = body_.type(node->inputs[0]).shape;
      const Dims& dims = node->attributes.integers("dims");
      // What is walked is broadcast along channels only, or along all.
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (whole && from != type.shape && from[static_cast<int>(i)] != 1 && dims[i] != 1)
          return refuse("a broadcast along other than the channels");
      return value(node->inputs[0], at);
    }
    case Op::reshape:
      if (whole && body_.type(node->inputs[0]).shape != type.shape) return refuse("a reshape");
      return value(node->inputs[0], at);
    default: break;
  }
  if (!is_pointwise(node->op) || node->op == Op::stop_gradient)
    return refuse(fmt::format("{} is not pointwise", name_of(node->op)));
  return pointwise_of(*node, type.dtype, at);
}

ExprId DepthwiseValues::pointwise_of(const Node& node, DType type, DepthwisePosition& at) {
  std::vector<ExprId> args;
  for (const ValueId in : node.inputs) args.push_back(value(in, at));
  if (!refusal_.empty()) return b_.real(0);
  if (node.op == Op::cast) return b_.cast(args[0], type);
  const ExprId result = pointwise(b_, node, args);
  if (result < 0) return refuse(fmt::format("{} of {} is not supported", name_of(node.op), name_of(type)));
  return type == DType::f16 || type == DType::bf16 ? b_.round_to(result, type) : result;
}

}  // namespace weft::loops
