// Claims try formats best first: the library's own choice, channels-last, row-major; operands with a fixed layout keep
// it throughout. Activations are padded beside blocked ones only, weights whenever the library likes it.
#include "kernels/cpu/onednn_conv.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cpu/depthwise_ops.hpp"
#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/onednn.hpp"
#include "kernels/cpu/onednn_merged.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

using dnnl::memory;

enum class Direction { forward, backward_data, backward_weights };
enum class Formats { library, blocks_of_8, channels_last, row_major };
constexpr Formats kFormats[] = {Formats::library, Formats::blocks_of_8, Formats::channels_last, Formats::row_major};

/// Of the library's kernels without blocks of channels, beside those with them: where arithmetic limits both, and where
/// memory does (depthwise, and 1 x 1 with few channels: 0.54 to 0.9 measured).
constexpr double kChannelsLastEfficiency = 0.9, kMovingChannelsLastEfficiency = 0.7;

/// One convolution in the library's terms. `x` is the input side, `y` the output side, in every direction.
struct Problem {
  dnnl::engine engine;
  dnnl::algorithm algorithm = dnnl::algorithm::convolution_direct;
  Direction direction = Direction::forward;
  std::string what;
  ValueId x = kNone, w = kNone, y = kNone, bias = kNone, residual = kNone;
  bool relu = false;
  std::int64_t groups = 1;
  memory::dims strides, dilations, pads_low, pads_high;
  std::string refusal;
};

/// Whether some tap of the filter never meets the image, only its padding.
bool a_tap_sees_padding_only(const Problem& p, const Shape& x, const Shape& w, const Shape& y) {
  for (int i = 0; i + 2 < x.rank(); ++i) {
    const auto n = static_cast<std::size_t>(i);
    for (std::int64_t tap = 0; tap < w[i + 2]; ++tap) {
      bool meets = false;
      for (std::int64_t o = 0; o < y[i + 2] && !meets; ++o) {
        const std::int64_t at = o * p.strides[n] + tap * (p.dilations[n] + 1) - p.pads_low[n];
        meets = at >= 0 && at < x[i + 2];
      }
      if (!meets) return true;
    }
  }
  return false;
}

Problem read_problem(const Graph& body, Op op, const Context& context) {
  Problem p;
  p.engine = context.onednn->engine;
  const ContractionBody c = match_contraction(body, op);
  if (!c.refusal.empty()) {
    p.refusal = c.refusal;
    return p;
  }
  const Attributes& a = c.root->attributes;
  const ValueId result = body.outputs()[0].value;
  const bool epilogue = result != c.root->outputs[0];
  if (op == Op::conv_general) {
    p.x = c.root->inputs[0], p.w = c.root->inputs[1], p.y = result;
    p.bias = c.bias, p.residual = c.residual, p.relu = c.relu;
    if (c.bias != kNone && c.bias_dim != 1) p.refusal = "the bias is not along the channels";
  } else if (op == Op::conv_data_grad) {
    p.direction = Direction::backward_data;
    p.x = result, p.w = c.root->inputs[1], p.y = c.root->inputs[0];
  } else {
    p.direction = Direction::backward_weights;
    p.x = c.root->inputs[0], p.w = result, p.y = c.root->inputs[1];
  }
  if (op != Op::conv_general && epilogue) p.refusal = "gradients of convolutions take no epilogue";
  p.groups = a.integer("groups");
  p.strides = a.integers("strides");
  p.dilations = a.integers("dilations");
  p.pads_low = a.integers("pads_low");
  p.pads_high = a.integers("pads_high");
  for (auto& d : p.dilations) --d;  // the library counts the gaps
  const Shape& xs = body.type(p.x).shape;
  const Shape& ws = body.type(p.w).shape;
  p.what = fmt::format("{} of input {} and filter {}", name_of(op), xs.str(), ws.str());
  if (xs.rank() < 3 || xs.rank() > 5) p.refusal = "1 to 3 spatial dimensions are supported";
  for (const ValueId v : {p.x, p.w, p.y, p.bias, p.residual})
    if (v != kNone && body.type(v).dtype != DType::f32 && body.type(v).dtype != DType::bf16)
      p.refusal = fmt::format("{} is not supported", name_of(body.type(v).dtype));
  if (xs.elements() == 0 || ws.elements() == 0 || body.type(p.y).shape.elements() == 0)
    p.refusal = "an operand without elements";
  for (const memory::dims* pads : {&p.pads_low, &p.pads_high})
    for (const auto v : *pads)
      if (v < 0) p.refusal = "negative padding";
  // Their gradients are zero; the library leaves whatever was in memory.
  if (p.direction == Direction::backward_weights && p.refusal.empty() &&
      a_tap_sees_padding_only(p, xs, ws, body.type(p.y).shape))
    p.refusal = "a tap of the filter sees padding only";
  return p;
}

/// Descriptors of one attempt.
struct Descs {
  memory::desc x, w, y, bias, residual;
};

Layout channels_last(const Shape& shape) {
  Dims order{0};
  for (int d = 2; d < shape.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return Layout::permuted(shape, order);
}

/// Channels in blocks, as the library likes them; row-major where blocks do not divide them.
Layout channel_blocks(const Shape& shape, std::int64_t block) {
  return shape[1] % block == 0 ? Layout::blocked(shape, {{1, block}}) : Layout::dense(shape);
}

/// A fixed layout may be several of the library's formats at once (a 1 x 1 image is blocked, channels-last and
/// row-major), and it has fast code for some only: `formats` says which of them to try.
memory::desc fixed_activation(const Layout& layout, DType type, Formats formats) {
  const Shape& shape = layout.shape;
  Layout as = layout;
  switch (formats) {
    case Formats::library: as = channel_blocks(shape, 16); break;
    case Formats::blocks_of_8: as = channel_blocks(shape, 8); break;
    case Formats::channels_last: as = channels_last(shape); break;
    case Formats::row_major: break;
  }
  return onednn_desc(as.same_placement(layout) ? as : layout, type);
}

memory::desc activation(const Graph& body, ValueId v, Formats formats) {
  const Value& value = body.value(v);
  const DType t = value.type.dtype;
  if (value.layout) return fixed_activation(*value.layout, t, formats);
  if (formats == Formats::library || formats == Formats::blocks_of_8) return onednn_any(value.type.shape, t);
  if (formats == Formats::row_major) return onednn_desc(Layout::dense(value.type.shape), t);
  return onednn_desc(channels_last(value.type.shape), t);
}

/// What is asked of the library. Weights with a fixed layout are given as such, or left to the library, whose choice
/// must then be that layout: it too may be several formats at once (16 input channels of a 1 x 1 filter, blocked by 16,
/// are row-major), and the library goes by the format's name.
struct Attempt {
  Formats formats = Formats::library;
  bool open_weights = true;
};

std::optional<Descs> descs_for(const Graph& body, const Problem& p, const Attempt& attempt) {
  const Value& w = body.value(p.w);
  Descs d;
  d.x = activation(body, p.x, attempt.formats);
  d.y = activation(body, p.y, attempt.formats);
  const std::optional<memory::desc> weights = !attempt.open_weights
                                                  ? onednn_weights_desc(*w.layout, w.type.dtype, p.groups)
                                                  : onednn_weights_any(w.type.shape, w.type.dtype, p.groups);
  if (!weights) return std::nullopt;
  d.w = *weights;
  if (p.bias != kNone) d.bias = onednn_desc(Layout::dense(body.type(p.bias).shape), body.type(p.bias).dtype);
  if (p.residual != kNone && body.value(p.residual).layout) d.residual = activation(body, p.residual, attempt.formats);
  return d;
}

/// For hints, which gradients must be given but do not depend on: of the operands' type, whatever the result's is.
Descs any_descs(const Graph& body, const Problem& p) {
  const DType type = body.type(p.direction == Direction::backward_data ? p.y : p.x).dtype;
  const auto any = [&](ValueId v) { return onednn_any(body.type(v).shape, type); };
  return {any(p.x), onednn_weights_any(body.type(p.w).shape, type, p.groups), any(p.y), {}, {}};
}

dnnl::convolution_forward::primitive_desc forward_desc(const Problem& p, const Descs& d,
                                                       const dnnl::primitive_attr& attr, dnnl::algorithm algorithm) {
  const auto kind = dnnl::prop_kind::forward_training;
  const dnnl::engine& engine = p.engine;
  if (p.bias != kNone)
    return {{kind, algorithm, d.x, d.w, d.bias, d.y, p.strides, p.dilations, p.pads_low, p.pads_high}, attr, engine};
  return {{kind, algorithm, d.x, d.w, d.y, p.strides, p.dilations, p.pads_low, p.pads_high}, attr, engine};
}

/// What the library answered: its formats, scratch and quality; and the primitive, when it is wanted.
struct Answer {
  Descs descs;
  std::int64_t scratch = 0;
  int quality = 0;
  std::optional<dnnl::primitive> primitive;
};

template <class Desc>
void finish(Answer& answer, const Desc& desc, bool build) {
  answer.scratch = static_cast<std::int64_t>(desc.scratchpad_desc().get_size());
  answer.quality = quality_of(desc);
  if (build) answer.primitive.emplace(desc.get());
}

Answer create(const Problem& p, const Descs& d, const Graph& body, bool build) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  Answer answer;
  if (p.direction == Direction::forward) {
    if (p.residual != kNone) {
      dnnl::post_ops ops;
      // Free: the residual takes the result's format, which the first pass below finds.
      const memory::desc rd =
          body.value(p.residual).layout ? d.residual : forward_desc(p, d, attr, p.algorithm).dst_desc();
      ops.append_binary(dnnl::algorithm::binary_add, rd);
      attr.set_post_ops(ops);
    }
    const auto desc = forward_desc(p, d, attr, p.algorithm);
    answer.descs = {desc.src_desc(), desc.weights_desc(), desc.dst_desc(), d.bias, d.residual};
    finish(answer, desc, build);
  } else if (p.direction == Direction::backward_data) {
    const auto hint = forward_desc(p, any_descs(body, p), attr, dnnl::algorithm::convolution_direct);
    const dnnl::convolution_backward_data::primitive_desc desc(
        {p.algorithm, d.x, d.w, d.y, p.strides, p.dilations, p.pads_low, p.pads_high}, attr, p.engine, hint);
    answer.descs = {desc.diff_src_desc(), desc.weights_desc(), desc.diff_dst_desc(), {}, {}};
    finish(answer, desc, build);
  } else {
    const auto hint = forward_desc(p, any_descs(body, p), attr, dnnl::algorithm::convolution_direct);
    const dnnl::convolution_backward_weights::primitive_desc desc(
        {p.algorithm, d.x, d.w, d.y, p.strides, p.dilations, p.pads_low, p.pads_high}, attr, p.engine, hint);
    answer.descs = {desc.src_desc(), desc.diff_weights_desc(), desc.diff_dst_desc(), {}, {}};
    finish(answer, desc, build);
  }
  return answer;
}

/// The layouts of an answer, when a Layout can express them. Channels are filled up to whole blocks only where another
/// activation is in blocks already.
struct Layouts {
  Layout x, w, y;
};
std::optional<Layouts> layouts_of(const Answer& answer, const Graph& body, const Problem& p) {
  const auto x = layout_of(answer.descs.x), y = layout_of(answer.descs.y);
  const auto w = weights_layout_of(answer.descs.w, body.type(p.w).shape, p.groups);
  if (!x || !y || !w) return std::nullopt;
  const auto in_blocks = [&](ValueId v) { return body.value(v).layout && !body.value(v).layout->blocks.empty(); };
  const bool may_pad = p.residual == kNone && (in_blocks(p.x) || in_blocks(p.y));
  if ((x->has_padding() || y->has_padding()) && !may_pad) return std::nullopt;
  const std::optional<Layout>& fixed = body.value(p.w).layout;
  if (fixed && !w->same_placement(*fixed)) return std::nullopt;
  return Layouts{*x, *w, *y};
}

struct Best {
  Layouts layouts;
  Attempt attempt;
  std::int64_t scratch = 0;
  int quality = -1;
};

std::vector<Attempt> attempts(const Graph& body, const Problem& p) {
  std::vector<Attempt> all;
  for (const Formats formats : kFormats) {
    all.push_back({formats, true});
    if (body.value(p.w).layout) all.push_back({formats, false});
  }
  return all;
}

Best best_of(const Graph& body, const Problem& p) {
  Best best;
  for (const Attempt& attempt : attempts(body, p)) {
    const std::optional<Descs> descs = descs_for(body, p, attempt);
    if (!descs) continue;
    try {
      const Answer answer = create(p, *descs, body, false);
      if (answer.quality <= best.quality) continue;
      if (auto layouts = layouts_of(answer, body, p))
        best = {std::move(*layouts), attempt, answer.scratch, answer.quality};
    } catch (const dnnl::error&) {
      continue;  // unimplemented with these formats: the next may be
    }
    if (best.quality == 2) break;
  }
  return best;
}

Graph without_layouts(Graph body) {
  for (std::size_t v = 0; v < body.values().size(); ++v) body.value(static_cast<ValueId>(v)).layout.reset();
  return body;
}

/// Groups for which there is a faster kernel than the library's matrix products (loop_depthwise.hpp,
/// onednn_merged.hpp).
bool better_elsewhere(const Graph& body, const Problem& p) {
  const Shape& w = body.type(p.w).shape;
  if (p.groups == 1 || body.type(p.w).dtype != DType::f32) return false;
  const std::int64_t outputs = w[0] / p.groups;
  if (w[1] == 1 && outputs == 1) return p.groups >= kDepthwiseLanes;
  return p.direction == Direction::backward_weights && groups_to_merge(p.groups, w[1], outputs) > 0;
}

/// Whether the library has Winograd's algorithm for such a problem: filters of 3 x 3 moved by 1.
bool fits_winograd(const Graph& body, const Problem& p) {
  const Shape& w = body.type(p.w).shape;
  const auto all = [](const memory::dims& d, std::int64_t n) {
    return std::all_of(d.begin(), d.end(), [&](std::int64_t v) { return v == n; });
  };
  return w.rank() == 4 && w[2] == 3 && w[3] == 3 && p.groups == 1 && all(p.strides, 1) && all(p.dilations, 0) &&
         body.type(p.w).dtype == DType::f32;
}

Claim claim(const Graph& body, Op op, std::string_view name, const Context& context, dnnl::algorithm algorithm) {
  const bool winograd = algorithm == dnnl::algorithm::convolution_winograd;
  if (winograd && !context.fast_math) return Claim::refuse("exact arithmetic is asked for (math: fast allows it)");
  Problem p = read_problem(body, op, context);
  p.algorithm = algorithm;
  if (!p.refusal.empty()) return Claim::refuse(p.refusal);
  if (winograd && !fits_winograd(body, p)) return Claim::refuse("takes filters of 3 x 3 moved by 1 only");
  Best best;
  try {
    best = best_of(body, p);
    if (best.quality < 2 && !winograd) {
      const Graph open = without_layouts(body);
      const Best free = best_of(open, p);
      if (free.quality > best.quality)
        return Claim::refuse(fmt::format("wants input {}, filter {}, output {}", free.layouts.x.str(),
                                         free.layouts.w.str(), free.layouts.y.str()));
    }
  } catch (const dnnl::error& error) {
    rethrow_onednn(error, p.what);
  }
  if (best.quality < 0) return Claim::refuse("the library has no implementation with these types and layouts");
  if (best.quality < 2 && winograd) return Claim::refuse("the library has no code for Winograd's algorithm here");
  if (best.quality < 2 && better_elsewhere(body, p))
    return Claim::refuse("the library multiplies matrices group by group here, which is slower than what follows");
  if (best.quality == 0 && body.type(body.inputs()[0].value).dtype != DType::f32)
    return Claim::refuse("the library would run its plain loops");
  if (best.quality < 2 && p.residual != kNone)  // its gemm convolutions add other elements when channels are last
    return Claim::refuse("the library adds a residual reliably in its own kernels only");
  if (best.quality == 0 && (p.residual != kNone || p.bias != kNone || p.relu))
    return Claim::refuse("the library fuses this epilogue in its plain loops only");
  KernelSpec spec;
  spec.body = body;
  const auto set = [&](ValueId v, const Layout& layout) {
    if (v != kNone && !spec.body.value(v).layout) spec.body.value(v).layout = layout;
  };
  set(p.x, best.layouts.x);
  set(p.w, best.layouts.w);
  set(p.y, best.layouts.y);
  set(p.residual, best.layouts.y);
  if (p.bias != kNone) set(p.bias, Layout::dense(body.type(p.bias).shape));
  spec.implementation = std::string(name);
  // What compilation will find, now that all layouts are decided: perhaps another of the library's kernels.
  spec.scratch_bytes = best_of(spec.body, p).scratch;
  const Shape& ws = body.type(p.w).shape;
  const Shape& ys = body.type(p.y).shape;
  spec.flops =
      2.0 * static_cast<double>(ys.elements()) * static_cast<double>(ws.elements() / std::max<std::int64_t>(ws[0], 1));
  spec.bytes = operand_bytes(spec.body);
  const bool moves = spec.flops / context.peak_flops < spec.bytes / context.peak_bytes;
  const double last = moves ? kMovingChannelsLastEfficiency : kChannelsLastEfficiency;
  return Claim::take(std::move(spec), best.layouts.y.blocks.empty() ? last : 1);
}

std::unique_ptr<CpuKernel> compile(const KernelSpec& spec, Op op, const Context& context, dnnl::algorithm algorithm) {
  const Graph& body = spec.body;
  Problem p = read_problem(body, op, context);
  p.algorithm = algorithm;
  check_internal(p.refusal.empty(), "convolution compiled without a claim: " + p.refusal);
  return onednn_call(p.what, [&] {
    const std::optional<Descs> descs = descs_for(body, p, best_of(body, p).attempt);
    check_internal(descs.has_value(), "convolution weights in a layout that was not offered");
    const Answer answer = create(p, *descs, body, true);
    const bool forward = p.direction == Direction::forward;
    const bool by_data = p.direction == Direction::backward_data;
    std::vector<PrimitiveKernel::Binding> bindings{
        {by_data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, argument_of(body, p.x), answer.descs.x},
        {forward || by_data ? DNNL_ARG_WEIGHTS : DNNL_ARG_DIFF_WEIGHTS, argument_of(body, p.w), answer.descs.w},
        {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, argument_of(body, p.y), answer.descs.y}};
    if (p.bias != kNone) bindings.push_back({DNNL_ARG_BIAS, argument_of(body, p.bias), answer.descs.bias});
    if (p.residual != kNone)
      bindings.push_back(
          {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, argument_of(body, p.residual), answer.descs.residual});
    PrimitiveKernel::Options options{p.what, answer.scratch};
    check_internal(answer.scratch <= spec.scratch_bytes, "convolution needs more scratch than was planned");
    if (answer.scratch > 0)
      bindings.push_back({DNNL_ARG_SCRATCHPAD, body.inputs().size() + body.outputs().size(),
                          memory::desc({answer.scratch}, memory::data_type::u8, memory::format_tag::a)});
    if (p.relu) {
      const Layout result = body.layout(p.y);
      options.relu_elements = result.has_padding() ? result.storage_elements() : result.shape.elements();
      options.relu_argument = argument_of(body, p.y);
      options.relu_type = body.type(p.y).dtype;
    }
    return std::make_unique<PrimitiveKernel>(*answer.primitive, bindings, std::move(options), context);
  });
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;
constexpr auto kWinograd = dnnl::algorithm::convolution_winograd;

}  // namespace

Claim claim_convolution(const Graph& body, const Context& context) {
  return claim(body, Op::conv_general, "onednn.convolution", context, kDirect);
}
std::unique_ptr<CpuKernel> compile_convolution(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_general, context, kDirect);
}

Claim claim_winograd(const Graph& body, const Context& context) {
  return claim(body, Op::conv_general, "onednn.winograd", context, kWinograd);
}
std::unique_ptr<CpuKernel> compile_winograd(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_general, context, kWinograd);
}

Claim claim_convolution_backward_data(const Graph& body, const Context& context) {
  return claim(body, Op::conv_data_grad, "onednn.convolution_backward_data", context, kDirect);
}
std::unique_ptr<CpuKernel> compile_convolution_backward_data(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_data_grad, context, kDirect);
}

Claim claim_winograd_backward_data(const Graph& body, const Context& context) {
  return claim(body, Op::conv_data_grad, "onednn.winograd_backward_data", context, kWinograd);
}
std::unique_ptr<CpuKernel> compile_winograd_backward_data(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_data_grad, context, kWinograd);
}

Claim claim_convolution_backward_weights(const Graph& body, const Context& context) {
  return claim(body, Op::conv_filter_grad, "onednn.convolution_backward_weights", context, kDirect);
}
std::unique_ptr<CpuKernel> compile_convolution_backward_weights(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_filter_grad, context, kDirect);
}

Claim claim_winograd_backward_weights(const Graph& body, const Context& context) {
  return claim(body, Op::conv_filter_grad, "onednn.winograd_backward_weights", context, kWinograd);
}
std::unique_ptr<CpuKernel> compile_winograd_backward_weights(const KernelSpec& spec, const Context& context) {
  return compile(spec, Op::conv_filter_grad, context, kWinograd);
}

}  // namespace weft::cpu
