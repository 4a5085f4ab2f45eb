// Queries of which finite masks hide every key, as padding is masked by -1e9 or by the lowest float: what they give,
// and their gradients, are PyTorch's, whether attention is one kernel or decomposed.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/attention.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using I = std::int64_t;
using MaskedTensors = std::map<std::string, Tensor>;

constexpr I kMaskSamples = 3, kMaskQueries = 3, kMaskKeys = 4, kMaskHeads = 2, kMaskFeatures = 2;

/// What the fixture's script makes.
Tensor row_masks(double hidden) {
  Tensor t(DType::f64, {kMaskSamples, 1, kMaskQueries, kMaskKeys});
  for (I i = 0; i < t.elements(); ++i) {
    const I sample = i / (kMaskQueries * kMaskKeys), query = i / kMaskKeys % kMaskQueries, key = i % kMaskKeys;
    if (sample == 1 || (sample == 2 && (query == 1 || key == 2)))
      t.mutable_values<double>()[static_cast<std::size_t>(i)] = hidden;
  }
  return t;
}

enum class AttentionForm { softmax, recognised };

/// Attention as models write it, the two query heads sharing one of keys and values; recognised or left as it is.
Graph masked_step(DType type, bool causal, AttentionForm form) {
  GraphBuilder b;
  const auto in = [&](const char* name, Shape shape) {
    return b.input(name, InputRole::feed, {type, std::move(shape)});
  };
  const ValueId q = in("q", {kMaskSamples, kMaskQueries, kMaskHeads, kMaskFeatures}),
                k = in("k", {kMaskSamples, kMaskKeys, 1, kMaskFeatures}),
                v = in("v", {kMaskSamples, kMaskKeys, 1, kMaskFeatures}),
                mask = in("mask", {kMaskSamples, 1, kMaskQueries, kMaskKeys});
  const auto shared = [&](ValueId x) {  // [samples, heads, keys, features]
    return b.transpose(b.broadcast_to(x, {kMaskSamples, kMaskKeys, kMaskHeads, kMaskFeatures}), {0, 2, 1, 3});
  };
  ValueId s = b.dot(b.transpose(q, {0, 2, 1, 3}), shared(k), {0, 1}, {0, 1}, {3}, {3});
  s = b.add(b.mul(s, b.like(s, 0.5)), mask);
  if (causal) {
    const Shape square{1, 1, kMaskQueries, kMaskKeys};
    const ValueId last = b.add(b.iota(DType::i64, square, 2), b.constant(Tensor::scalar<I>(kMaskKeys - kMaskQueries)));
    s = b.select(b.binary(Op::less_equal, b.iota(DType::i64, square, 3), last), s,
                 b.like(s, -std::numeric_limits<double>::infinity()));
  }
  const ValueId p = b.one(Op::softmax, {s}, {{"axis", I{3}}});
  b.output("y", OutputRole::fetch, b.transpose(b.dot(p, shared(v), {0, 1}, {0, 1}, {3}, {2}), {0, 2, 1, 3}));
  GraphBuilder step(form == AttentionForm::recognised ? with_attention(b.graph()) : b.graph());
  const ValueId y = step.graph().outputs()[0].value;
  const ValueId dy = step.input("dy", InputRole::feed, step.type(y));
  std::vector<ValueId> wrt;
  for (const char* name : {"q", "k", "v"}) wrt.push_back(step.graph().find_input(name));
  const std::vector<ValueId> grads = vector_jacobian(step, {y}, {dy}, wrt);
  for (std::size_t i = 0; i < 3; ++i)
    step.output(std::vector<std::string>{"dq", "dk", "dv"}[i], OutputRole::fetch, grads[i]);
  return std::move(step).take();
}

MaskedTensors masked_inputs(const nlohmann::json& one, DType type) {
  MaskedTensors inputs = {{"q", test::noise({kMaskSamples, kMaskQueries, kMaskHeads, kMaskFeatures}, 0)},
                          {"k", test::noise({kMaskSamples, kMaskKeys, 1, kMaskFeatures}, 1)},
                          {"v", test::noise({kMaskSamples, kMaskKeys, 1, kMaskFeatures}, 2)},
                          {"dy", test::noise({kMaskSamples, kMaskQueries, kMaskHeads, kMaskFeatures}, 3)},
                          {"mask", row_masks(one["hidden"].get<double>())}};
  for (auto& [name, t] : inputs) t = t.cast(type);
  return inputs;
}

int attentions_in(const Graph& graph) {
  int n = 0;
  for (const Node& node : graph.nodes()) n += is_attention(node.op) ? 1 : 0;
  return n;
}

TEST(MaskedQueries, GiveWhatPyTorchGivesWholeAndDecomposed) {
  std::ifstream file(WEFT_LOWERING_FIXTURES "/attention_masks.json");
  const nlohmann::json cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 5U);
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  for (const nlohmann::json& one : cases) {
    const DType type = one["dtype"] == "64" ? DType::f64 : DType::f32;
    const MaskedTensors inputs = masked_inputs(one, type);
    const Graph plain = masked_step(type, one["causal"].get<bool>(), AttentionForm::softmax),
                whole = masked_step(type, one["causal"].get<bool>(), AttentionForm::recognised);
    ASSERT_EQ(attentions_in(plain), 0);
    ASSERT_EQ(attentions_in(whole), 2);
    LoweringOptions without;
    without.without = {"attention"};
    const std::pair<const char*, MaskedTensors> runs[] = {
        {"the operator, interpreted", interpret(whole, inputs)},
        {"the operator, compiled", testing::run_compiled(whole, inputs, *device)},
        {"the operator, compiled without it", testing::run_compiled(whole, inputs, *device, without)},
        {"the softmax, compiled", testing::run_compiled(plain, inputs, *device)}};
    for (const auto& [how, got] : runs)
      for (const char* name : {"y", "dq", "dk", "dv"})
        test::expect_close(
            got.at(name), one[name].get<std::vector<double>>(), 2e-6,
            how + (" in " + std::string(name_of(type)) + ": ") + name + " masked by " + one["hidden"].dump());
  }
}

}  // namespace
}  // namespace weft
