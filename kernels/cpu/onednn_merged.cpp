// A convolution kernel inside, and the filter's way into its diagonal blocks or out of them.
#include "kernels/cpu/onednn_merged.hpp"

#include <algorithm>

#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/onednn_conv.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kMostMerged = 16;
constexpr std::int64_t kBlock = 16;

struct Merged {
  std::string refusal;
  ValueId filter = kNone;     ///< in the body
  bool makes_filter = false;  ///< it is the result
  Graph body;                 ///< the convolution inside, same order of inputs
  ValueId merged_filter = kNone;
  std::int64_t factor = 1, groups = 1;
};

Merged merge(const Graph& body) {
  Merged m;
  const auto refuse = [&](const char* why) {
    m.refusal = why;
    return m;
  };
  if (body.nodes().size() != 1 || body.outputs().size() != 1 ||
      body.outputs()[0].value != body.nodes()[0].outputs.at(0))
    return refuse("takes one convolution without an epilogue");
  const Node& node = body.nodes()[0];
  if (node.op != Op::conv_general && node.op != Op::conv_data_grad && node.op != Op::conv_filter_grad)
    return refuse("not a convolution");
  m.makes_filter = node.op == Op::conv_filter_grad;
  m.filter = m.makes_filter ? node.outputs[0] : node.inputs[1];
  m.groups = node.attributes.integer("groups");
  const Shape& w = body.type(m.filter).shape;
  if (body.type(m.filter).dtype != DType::f32) return refuse("takes f32 only");
  if (w.elements() == 0) return refuse("an operand without elements");
  m.factor = groups_to_merge(m.groups, w[1], w[0] / m.groups);
  if (m.factor == 0) return refuse("no number of groups makes whole blocks of channels");
  if (body.value(m.filter).layout && !body.value(m.filter).layout->is_row_major())
    return refuse("wants a row-major filter");
  const TensorType merged{DType::f32, w.with(1, w[1] * m.factor)};
  std::vector<ValueId> inputs;
  for (const GraphInput& i : body.inputs()) {
    const ValueId v = m.body.add_input(i.name, i.role, i.value == m.filter ? merged : body.type(i.value));
    if (i.value != m.filter) m.body.value(v).layout = body.value(i.value).layout;
  }
  for (const ValueId v : node.inputs) inputs.push_back(m.body.inputs()[argument_of(body, v)].value);
  Attributes attributes = node.attributes;
  attributes.set("groups", m.groups / m.factor);
  if (m.makes_filter) attributes.set("filter_shape", merged.shape.extents());
  const NodeId n =
      m.body.append(node.op, inputs, std::move(attributes), {m.makes_filter ? merged : body.type(node.outputs[0])});
  const ValueId result = m.body.node(n).outputs[0];
  m.body.add_output("y", OutputRole::fetch, result);
  m.merged_filter = m.makes_filter ? result : inputs[1];
  if (!m.makes_filter) m.body.value(result).layout = body.value(node.outputs[0]).layout;
  return m;
}

Claim claim_inside(const Merged& m, const Context& context) {
  switch (m.body.nodes()[0].op) {
    case Op::conv_general: return claim_convolution(m.body, context);
    case Op::conv_data_grad: return claim_convolution_backward_data(m.body, context);
    default: return claim_convolution_backward_weights(m.body, context);
  }
}

std::unique_ptr<CpuKernel> compile_inside(const KernelSpec& spec, const Context& context) {
  switch (spec.body.nodes()[0].op) {
    case Op::conv_general: return compile_convolution(spec, context);
    case Op::conv_data_grad: return compile_convolution_backward_data(spec, context);
    default: return compile_convolution_backward_weights(spec, context);
  }
}

std::int64_t filter_bytes(const KernelSpec& inside, ValueId merged_filter) {
  return (inside.body.layout(merged_filter).bytes(DType::f32) + 63) / 64 * 64;
}

class MergedGroupsKernel final : public CpuKernel {
 public:
  MergedGroupsKernel(const Merged& m, const KernelSpec& inside, const Graph& body, const Context& context)
      : inside_(compile_inside(inside, context)),
        filter_(argument_of(body, m.filter)),
        arguments_(body.inputs().size() + body.outputs().size()),
        bytes_(filter_bytes(inside, m.merged_filter)),
        makes_filter_(m.makes_filter) {
    const Layout layout = inside.body.layout(m.merged_filter);
    const Shape& w = body.type(m.filter).shape;
    const std::int64_t outputs = w[0] / m.groups;
    Dims index(static_cast<std::size_t>(w.rank()), 0);
    places_.reserve(static_cast<std::size_t>(w.elements()));
    for (std::int64_t e = 0; e < w.elements(); ++e) {
      std::int64_t rest = e;
      for (int d = w.rank(); d-- > 0;) {
        index[static_cast<std::size_t>(d)] = rest % w[d];
        rest /= w[d];
      }
      index[1] += index[0] / outputs % m.factor * w[1];
      places_.push_back(layout.offset(index));
    }
  }

  void run(std::span<std::byte* const> arguments) const override {
    std::byte* scratch = arguments[arguments_];
    float* merged = reinterpret_cast<float*>(scratch);
    float* filter = reinterpret_cast<float*>(arguments[filter_]);
    if (!makes_filter_) {
      std::fill_n(merged, bytes_ / 4, 0.0f);
      for (std::size_t e = 0; e < places_.size(); ++e) merged[places_[e]] = filter[e];
    }
    std::vector<std::byte*> inside(arguments.begin(), arguments.end());
    inside[filter_] = scratch;
    inside[arguments_] = scratch + bytes_;
    inside_->run(inside);
    if (makes_filter_)
      for (std::size_t e = 0; e < places_.size(); ++e) filter[e] = merged[places_[e]];
  }

 private:
  std::unique_ptr<CpuKernel> inside_;
  std::size_t filter_, arguments_;
  std::int64_t bytes_;
  bool makes_filter_;
  std::vector<std::int64_t> places_;  ///< of the filter's elements, in the merged one
};

}  // namespace

std::int64_t groups_to_merge(std::int64_t groups, std::int64_t inputs, std::int64_t outputs) {
  if (groups < 2 || (inputs % kBlock == 0 && outputs % kBlock == 0)) return 0;
  for (std::int64_t factor = 2; factor <= std::min(groups, kMostMerged); ++factor)
    if (groups % factor == 0 && inputs * factor % kBlock == 0 && outputs * factor % kBlock == 0) return factor;
  return 0;
}

Claim claim_merged_groups(const Graph& body, const Context& context) {
  const Merged m = merge(body);
  if (!m.refusal.empty()) return Claim::refuse(m.refusal);
  const Claim inside = claim_inside(m, context);
  if (!inside.spec) return Claim::refuse(inside.reason);
  KernelSpec spec;
  spec.body = body;
  const auto set = [&](ValueId v, ValueId from) {
    if (v != m.filter) spec.body.value(v).layout = inside.spec->body.layout(from);
  };
  for (std::size_t i = 0; i < body.inputs().size(); ++i) set(body.inputs()[i].value, m.body.inputs()[i].value);
  set(body.outputs()[0].value, m.body.outputs()[0].value);
  spec.body.value(m.filter).layout = Layout::dense(body.type(m.filter).shape);
  spec.implementation = "onednn.merged_groups";
  // What compilation will find, now that layouts are decided.
  const Merged decided = merge(spec.body);
  const Claim settled = claim_inside(decided, context);
  if (!settled.spec) return Claim::refuse(settled.reason);
  spec.scratch_bytes = filter_bytes(*settled.spec, decided.merged_filter) + settled.spec->scratch_bytes;
  spec.flops = inside.spec->flops / static_cast<double>(m.factor);
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_merged_groups(const KernelSpec& spec, const Context& context) {
  const Merged m = merge(spec.body);
  check_internal(m.refusal.empty(), "merged groups compiled without a claim: " + m.refusal);
  const Claim inside = claim_inside(m, context);
  check_internal(inside.spec.has_value(), "merged groups compiled without a claim: " + inside.reason);
  return std::make_unique<MergedGroupsKernel>(m, *inside.spec, spec.body, context);
}

}  // namespace weft::cpu
