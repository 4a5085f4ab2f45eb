// Which nodes are which, and the taps of every phase.
#include "kernels/loops/depthwise_problem.hpp"

#include <algorithm>

namespace weft::loops {
namespace {

constexpr std::int64_t kMostTaps = 32;  ///< all are unrolled

bool is_convolution(Op op) { return op == Op::conv_general || op == Op::conv_data_grad || op == Op::conv_filter_grad; }

bool is_stored_f32(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

class Reader {
 public:
  explicit Reader(const Graph& body) : body_(body) {}

  DepthwiseProblem run() {
    find_convolutions();
    if (p_.refusal.empty()) read_geometry();
    if (p_.refusal.empty()) read_outputs();
    return std::move(p_);
  }

 private:
  void refuse(std::string why) {
    if (p_.refusal.empty()) p_.refusal = std::move(why);
  }
  const Shape& shape(ValueId v) const { return body_.type(v).shape; }

  void find_convolutions() {
    for (const Node& node : body_.nodes()) {
      if (!is_convolution(node.op)) continue;
      const Node*& place = node.op == Op::conv_filter_grad ? p_.filter_gradient : p_.convolution;
      if (place != nullptr) return refuse("several convolutions of one kind");
      place = &node;
      for (const auto* list : {&node.inputs, &node.outputs})
        for (const ValueId v : *list)
          if (!is_stored_f32(body_.type(v).dtype)) return refuse("takes f32, bf16 and f16 only");
    }
    if (p_.convolution == nullptr && p_.filter_gradient == nullptr) return refuse("no convolution");
    const Node* c = p_.convolution;
    const Node* f = p_.filter_gradient;
    if (c != nullptr && f != nullptr) {
      if (c->op != Op::conv_data_grad || f->inputs[1] != c->inputs[0])
        return refuse("a gradient to the filter beside another convolution than the gradient to its input");
      for (const char* name : {"strides", "pads_low", "pads_high", "dilations"})
        if (c->attributes.integers(name) != f->attributes.integers(name)) return refuse("gradients that differ");
    }
    if (f != nullptr) {
      p_.slide = f->inputs[1];
      p_.line_operand = f->inputs[0];
      p_.line_shape = shape(p_.line_operand);
    }
    if (c != nullptr) {
      p_.slide = c->inputs[0];
      p_.filter = c->inputs[1];
      if (f != nullptr && shape(c->outputs[0]) != p_.line_shape) return refuse("gradients of two shapes");
      p_.line_shape = shape(c->outputs[0]);
    }
    p_.slide_shape = shape(p_.slide);
  }

  void read_geometry() {
    const Node* geometry = p_.convolution != nullptr ? p_.convolution : p_.filter_gradient;
    if (geometry == nullptr) return refuse("no convolution");
    const Node& node = *geometry;
    const Shape &s = p_.slide_shape, &l = p_.line_shape;
    const Shape& w = shape(p_.convolution != nullptr ? p_.filter : node.outputs[0]);
    if (s.rank() != 4) return refuse("takes windows of two dimensions");
    if (s.elements() == 0 || l.elements() == 0 || w.elements() == 0) return refuse("an operand without elements");
    p_.samples = s[0];
    p_.channels = s[1];
    if (node.attributes.integer("groups") != s[1] || l[1] != s[1] || w[0] != s[1])
      return refuse("takes one channel a group only");
    if (w[2] * w[3] > kMostTaps) return refuse("a window of more than 32 taps");
    p_.rows = axis(node, 0, s[2], l[2], w[2]);
    p_.columns = axis(node, 1, s[3], l[3], w[3]);
  }

  DepthwiseAxis axis(const Node& node, std::size_t d, std::int64_t slide, std::int64_t line, std::int64_t window) {
    const std::int64_t stride = node.attributes.integers("strides")[d], low = node.attributes.integers("pads_low")[d];
    const std::int64_t dilation = node.attributes.integers("dilations")[d];
    DepthwiseAxis a;
    a.slide = slide, a.line = line, a.window = window;
    const bool forward = node.op == Op::conv_general;
    a.phases = forward ? 1 : stride;
    a.steps = forward ? stride : 1;
    if (a.phases > 4) refuse("a stride of more than 4");
    a.taps.resize(static_cast<std::size_t>(a.phases));
    bool any = false;
    std::int64_t last = 0;
    for (std::int64_t phase = 0; phase < a.phases; ++phase)
      for (std::int64_t t = 0; t < window; ++t) {
        std::int64_t offset = t * dilation - low;
        if (!forward) {
          offset = phase + low - t * dilation;
          if (offset % stride != 0) continue;
          offset /= stride;
        }
        a.taps[static_cast<std::size_t>(phase)].push_back({t, offset});
        a.first = any ? std::min(a.first, offset) : offset;
        last = any ? std::max(last, offset) : offset;
        any = true;
      }
    a.span = last - a.first + 1;
    return a;
  }

  void read_outputs() {
    const Dims others{0, 2, 3};
    for (const Node& node : body_.nodes()) {
      if (node.op != Op::reduce_sum && node.op != Op::moments) continue;
      if (node.attributes.integers("dims") != others || shape(node.inputs[0]) != p_.line_shape)
        return refuse("a sum of something else than the line's positions");
      if (body_.type(node.outputs[0]).dtype != DType::f32) return refuse("a sum of another type than f32");
      p_.sums.push_back({&node, node.inputs[0]});
    }
    for (const GraphOutput& o : body_.outputs()) {
      const Node* maker = body_.producer(o.value);
      if (maker == nullptr) return refuse("a result that is an operand");
      if (maker->op == Op::reduce_sum || maker->op == Op::moments || maker->op == Op::conv_filter_grad) continue;
      if (shape(o.value) != p_.line_shape) return refuse("a result of another shape than the line's");
      if (!is_stored_f32(body_.type(o.value).dtype)) return refuse("a result of another type than f32, bf16 and f16");
      p_.results.push_back(o.value);
    }
  }

  const Graph& body_;
  DepthwiseProblem p_;
};

}  // namespace

bool is_depthwise(const Graph& body) {
  return std::any_of(body.nodes().begin(), body.nodes().end(),
                     [](const Node& n) { return is_convolution(n.op) && n.attributes.integer("groups") > 1; });
}

DepthwiseProblem read_depthwise(const Graph& body) { return Reader(body).run(); }

}  // namespace weft::loops
