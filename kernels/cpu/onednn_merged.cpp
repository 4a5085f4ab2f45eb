// A kernel of fewer groups inside, and the filter's way out of its diagonal blocks.
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
  ValueId filter = kNone;  ///< in the body
  Graph body;              ///< the convolution inside, same order of inputs
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
  if (node.op != Op::conv_filter_grad) return refuse("takes gradients to the filter only");
  m.filter = node.outputs[0];
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
    const ValueId v = m.body.add_input(i.name, i.role, body.type(i.value));
    m.body.value(v).layout = body.value(i.value).layout;
  }
  for (const ValueId v : node.inputs) inputs.push_back(m.body.inputs()[argument_of(body, v)].value);
  Attributes attributes = node.attributes;
  attributes.set("groups", m.groups / m.factor);
  attributes.set("filter_shape", merged.shape.extents());
  const NodeId n = m.body.append(node.op, inputs, std::move(attributes), {merged});
  m.merged_filter = m.body.node(n).outputs[0];
  m.body.add_output("y", OutputRole::fetch, m.merged_filter);
  return m;
}

std::int64_t filter_bytes(const KernelSpec& inside, ValueId merged_filter) {
  return (inside.body.layout(merged_filter).bytes(DType::f32) + 63) / 64 * 64;
}

class MergedGroupsKernel final : public CpuKernel {
 public:
  MergedGroupsKernel(const Merged& m, const KernelSpec& inside, const Graph& body, const Context& context)
      : inside_(compile_convolution_backward_weights(inside, context)),
        filter_(argument_of(body, m.filter)),
        arguments_(body.inputs().size() + body.outputs().size()),
        bytes_(filter_bytes(inside, m.merged_filter)) {
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
    const float* merged = reinterpret_cast<const float*>(scratch);
    float* filter = reinterpret_cast<float*>(arguments[filter_]);
    std::vector<std::byte*> inside(arguments.begin(), arguments.end());
    inside[filter_] = scratch;
    inside[arguments_] = scratch + bytes_;
    inside_->run(inside);
    for (std::size_t e = 0; e < places_.size(); ++e) filter[e] = merged[places_[e]];
  }

 private:
  std::unique_ptr<CpuKernel> inside_;
  std::size_t filter_, arguments_;
  std::int64_t bytes_;
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
  const Claim inside = claim_convolution_backward_weights(m.body, context);
  if (!inside.spec) return Claim::refuse(inside.reason);
  KernelSpec spec;
  spec.body = body;
  for (std::size_t i = 0; i < body.inputs().size(); ++i)
    spec.body.value(body.inputs()[i].value).layout = inside.spec->body.layout(m.body.inputs()[i].value);
  spec.body.value(m.filter).layout = Layout::dense(body.type(m.filter).shape);
  spec.implementation = "onednn.merged_groups";
  // What compilation will find, now that layouts are decided.
  const Merged decided = merge(spec.body);
  const Claim settled = claim_convolution_backward_weights(decided.body, context);
  if (!settled.spec) return Claim::refuse(settled.reason);
  spec.scratch_bytes = filter_bytes(*settled.spec, decided.merged_filter) + settled.spec->scratch_bytes;
  spec.flops = inside.spec->flops / static_cast<double>(m.factor);
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_merged_groups(const KernelSpec& spec, const Context& context) {
  const Merged m = merge(spec.body);
  check_internal(m.refusal.empty(), "merged groups compiled without a claim: " + m.refusal);
  const Claim inside = claim_convolution_backward_weights(m.body, context);
  check_internal(inside.spec.has_value(), "merged groups compiled without a claim: " + inside.reason);
  return std::make_unique<MergedGroupsKernel>(m, *inside.spec, spec.body, context);
}

}  // namespace weft::cpu
