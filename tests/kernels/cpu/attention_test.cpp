// Attention and its gradient as generated kernels, against their decompositions on the interpreter.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "graph/ir/interpret.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;
using I = std::int64_t;

struct Sizes {
  I batch = 2, queries = 7, keys = 7, heads = 2, groups = 2, features = 8, values = 8;
};

Attributes attention_of(const Sizes& s, bool causal = false, I offset = 0, bool zero_masked = false) {
  return {{"scale", 1 / std::sqrt(static_cast<double>(s.features))},
          {"causal", I{causal}},
          {"offset", offset},
          {"zero_masked", I{zero_masked}}};
}

/// q, k and v, and what follows from the results of attention: y, or, with a gradient of y, dq, dk and dv.
std::string check_attention(const Sizes& s, const Attributes& attributes, bool gradient, DType type = DType::f32,
                            const std::vector<Tensor>& mask = {}, int threads = 2, CpuIsa isa = CpuIsa::automatic) {
  SCOPED_TRACE(fmt::format("{}x{}x{} queries of {}, {} keys of {} heads, {} values, {}{}", s.batch, s.heads, s.queries,
                           s.features, s.keys, s.groups, s.values, attributes.str(), gradient ? ", gradient" : ""));
  const double tolerance = type == DType::f32 ? 1e-5 : type == DType::bf16 ? 1.6e-2 : 2e-3;
  const Tensor q = random_tensor(type, Shape{s.batch, s.queries, s.heads, s.features}, 1);
  const Tensor k = random_tensor(type, Shape{s.batch, s.keys, s.groups, s.features}, 2);
  const Tensor v = random_tensor(type, Shape{s.batch, s.keys, s.groups, s.values}, 3);
  Body body;
  if (!gradient) {
    std::vector<ValueId> operands = {body.in(q), body.in(k), body.in(v)};
    for (const Tensor& m : mask) operands.push_back(body.in(m));
    for (const ValueId y : body.b.node(Op::attention, operands, attributes)) body.out(y);
    return check(std::move(body), tolerance, {threads, isa, true});
  }
  // y, and the two numbers a row, as the interpreter makes them.
  GraphBuilder forward;
  std::map<std::string, Tensor> given;
  std::vector<ValueId> inputs;
  std::vector<Tensor> operands = {q, k, v};
  operands.insert(operands.end(), mask.begin(), mask.end());
  for (const Tensor& t : operands) {
    const std::string name = fmt::format("x{}", inputs.size());
    inputs.push_back(forward.input(name, InputRole::feed, {t.dtype(), t.shape()}));
    given.emplace(name, t);
  }
  const std::vector<ValueId> made = forward.node(Op::attention, inputs, attributes);
  forward.output("y", OutputRole::fetch, made[0]);
  forward.output("most", OutputRole::fetch, made[1]);
  forward.output("share", OutputRole::fetch, made[2]);
  std::map<std::string, Tensor> results = interpret(forward.graph(), given);
  std::vector<ValueId> args = {body.in(random_tensor(type, Shape{s.batch, s.queries, s.heads, s.values}, 4)),
                               body.in(q),
                               body.in(k),
                               body.in(v),
                               body.in(results.at("y")),
                               body.in(results.at("most")),
                               body.in(results.at("share"))};
  for (const Tensor& m : mask) args.push_back(body.in(m));
  for (const ValueId g : body.b.node(Op::attention_grad, args, attributes)) body.out(g);
  return check(std::move(body), 4 * tolerance, {threads, isa, true});
}

void expect_generated(const Sizes& s, const Attributes& attributes, DType type = DType::f32,
                      const std::vector<Tensor>& mask = {}, int threads = 2, CpuIsa isa = CpuIsa::automatic) {
  EXPECT_EQ(check_attention(s, attributes, false, type, mask, threads, isa), "generated");
  EXPECT_EQ(check_attention(s, attributes, true, type, mask, threads, isa), "generated");
}

TEST(CpuAttention, AnyNumberOfPositionsAndFeaturesAgrees) {
  for (const I positions : {1, 7, 64, 70, 197})
    for (const I features : {8, 40}) {
      const Sizes s{1, positions, positions, 2, 2, features, features};
      expect_generated(s, attention_of(s));
    }
  for (const I features : {1, 64, 80, 128}) {
    const Sizes s{2, 33, 65, 1, 1, features, 24};
    expect_generated(s, attention_of(s));
  }
}

TEST(CpuAttention, CausalQueriesSeeTheKeysUpToTheirOwnPosition) {
  for (const auto& [queries, keys, offset] : {std::tuple<I, I, I>{1, 1, 0},
                                              {7, 7, 0},
                                              {128, 128, 0},
                                              {130, 130, 0},
                                              {5, 90, 85},
                                              {70, 66, 3},
                                              {64, 200, 10}}) {
    const Sizes s{2, queries, keys, 2, 2, 16, 16};
    expect_generated(s, attention_of(s, true, offset));
  }
}

TEST(CpuAttention, HeadsOfQueriesShareThoseOfKeysAndValues) {
  const Sizes s{2, 70, 66, 6, 2, 16, 8};
  expect_generated(s, attention_of(s));
  const Sizes one{1, 20, 20, 4, 1, 8, 8};
  expect_generated(one, attention_of(one, true));
}

TEST(CpuAttention, MasksOfFloatsAndOfBooleansBroadcast) {
  const Sizes s{2, 9, 70, 3, 3, 8, 8};
  for (const Shape& shape : {Shape{2, 3, 9, 70}, Shape{2, 1, 1, 70}, Shape{1, 1, 9, 70}, Shape{1, 3, 1, 70}}) {
    expect_generated(s, attention_of(s), DType::f32, {random_tensor(DType::f32, shape, 9, -3, 3)});
    Tensor keep(DType::boolean, shape);
    const Tensor draw = random_tensor(DType::f32, shape, 5, -1, 2);
    for (I i = 0; i < keep.elements(); ++i)
      keep.mutable_values<bool>()[static_cast<std::size_t>(i)] = draw.as_double(i) > 0;
    expect_generated(s, attention_of(s), DType::f32, {keep});
  }
}

TEST(CpuAttention, QueriesWithoutAKeyGiveNanOrZeroAsAsked) {
  const Sizes s{2, 5, 70, 2, 2, 8, 8};
  Tensor keep = Tensor::full(DType::boolean, Shape{2, 1, 5, 70}, 1);
  for (std::size_t i = 0; i < 70; ++i) keep.mutable_values<bool>()[70 + i] = false;
  EXPECT_EQ(check_attention(s, attention_of(s, false, 0, true), false, DType::f32, {keep}), "generated");
  EXPECT_EQ(check_attention(s, attention_of(s, false, 0, true), true, DType::f32, {keep}), "generated");
  expect_generated(s, attention_of(s), DType::f32, {keep});
  for (const I offset : {I{-2}, I{-1} << 40, I{1} << 40}) {
    expect_generated(s, attention_of(s, true, offset, true));
    expect_generated(s, attention_of(s, true, offset, false));
  }
  const Sizes long_one{1, 130, 140, 2, 1, 8, 8};  // whole blocks, and parts of them, without a key
  for (const I offset : {I{-3}, I{-70}}) expect_generated(long_one, attention_of(long_one, true, offset));
}

constexpr float kLowest = std::numeric_limits<float>::lowest();

/// Zeros; `hidden` for all keys of the last sample, and of every third query of the others.
Tensor hidden_rows(const Sizes& s, float hidden) {
  Tensor mask(DType::f32, {s.batch, 1, s.queries, s.keys});
  auto* x = mask.mutable_values<float>().data();
  for (I i = 0; i < mask.elements(); ++i)
    if (const I row = i / s.keys; row / s.queries == s.batch - 1 || row % s.queries % 3 == 1) x[i] = hidden;
  return mask;
}

TEST(CpuAttention, QueriesOfWhichAFiniteMaskHidesEveryKeyShareThemAlike) {
  for (const float hidden : {-1e9F, kLowest})
    for (const DType type : {DType::f32, DType::bf16}) {
      const Sizes small{2, 5, 7, 2, 1, 8, 8}, large{2, 70, 97, 2, 2, 16, 24};
      expect_generated(small, attention_of(small), type, {hidden_rows(small, hidden)});
      expect_generated(large, attention_of(large), type, {hidden_rows(large, hidden)}, 3);
      expect_generated(large, attention_of(large, true, 27), type, {hidden_rows(large, hidden)});
    }
}

/// Whatever a mask leaves of the scores: forward and gradient see the same.
TEST(CpuAttention, ProbabilitiesMadeAgainSumToOne) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const Sizes s{2, 70, 97, 2, 2, 16, 8};
  for (const float hidden : {-1e3F, -1e6F, -1e9F, kLowest})
    for (const DType type : {DType::f32, DType::bf16}) {
      Body forward, backward;
      const std::vector<Tensor> operands = {random_tensor(type, {s.batch, s.queries, s.heads, s.features}, 1),
                                            random_tensor(type, {s.batch, s.keys, s.groups, s.features}, 2),
                                            random_tensor(type, {s.batch, s.keys, s.groups, s.values}, 3),
                                            hidden_rows(s, hidden)};
      std::vector<ValueId> in;
      for (const Tensor& t : operands) in.push_back(forward.in(t));
      for (const ValueId v : forward.b.node(Op::attention, in, attention_of(s))) forward.out(v);
      const std::vector<Tensor> made = testing::run_body(*device, forward.b.graph(), forward.values);
      in = {backward.in(Tensor::full(type, made[0].shape(), 1))};
      for (const Tensor* t : {&operands[0], &operands[1], &operands[2], &made[0], &made[1], &made[2], &operands[3]})
        in.push_back(backward.in(*t));
      backward.out(backward.b.node(Op::attention_grad, in, attention_of(s))[2]);
      const Tensor dv = testing::run_body(*device, backward.b.graph(), backward.values)[0];
      for (I sample = 0; sample < s.batch; ++sample) {
        double sum = 0;
        const I each = s.keys * s.groups * s.values;
        for (I i = 0; i < each; ++i) sum += dv.as_double(sample * each + i);
        const double want = static_cast<double>(s.queries * s.heads * s.values);
        EXPECT_NEAR(sum, want, want * (type == DType::f32 ? 1e-5 : 4e-3)) << hidden << ", sample " << sample;
      }
    }
}

TEST(CpuAttention, SixteenBitFloatsAreSummedInThirtyTwo) {
  for (const DType type : {DType::bf16, DType::f16}) {
    const Sizes s{2, 70, 66, 4, 2, 16, 24};
    expect_generated(s, attention_of(s), type);
  }
}

/// Distance over length, of all elements together.
double distance(const Tensor& got, const Tensor& want) {
  double apart = 0, length = 0;
  for (I i = 0; i < want.elements(); ++i) {
    apart += std::pow(got.as_double(i) - want.as_double(i), 2);
    length += std::pow(want.as_double(i), 2);
  }
  return std::sqrt(apart / length);
}

/// Attention in bf16 beside the interpreter's in f64 of the same operands: two roundings of what is multiplied, and one
/// of results, are 2^-9 each; a key or query left out would show as 1 / sqrt(keys).
void expect_near_double(const Sizes& s, const Attributes& attributes) {
  const auto draw = [](const Shape& shape, unsigned seed) { return random_tensor(DType::bf16, shape, seed); };
  const Tensor q = draw({s.batch, s.queries, s.heads, s.features}, 1),
               k = draw({s.batch, s.keys, s.groups, s.features}, 2);
  const Tensor v = draw({s.batch, s.keys, s.groups, s.values}, 3),
               dy = draw({s.batch, s.queries, s.heads, s.values}, 4);
  const auto run = [&](Op op, const std::vector<Tensor>& operands, bool exactly) {
    GraphBuilder b;
    std::vector<ValueId> in;
    std::vector<Tensor> given;
    std::map<std::string, Tensor> named;
    for (const Tensor& t : operands) {
      given.push_back(exactly ? t.cast(DType::f64) : t);
      const std::string name = fmt::format("x{}", in.size());
      named.emplace(name, given.back());
      in.push_back(b.input(name, InputRole::feed, {given.back().dtype(), t.shape()}));
    }
    int n = 0;
    for (const ValueId y : b.node(op, in, attributes)) b.output(fmt::format("y{}", n++), OutputRole::fetch, y);
    if (!exactly) return testing::run_body(*make_cpu_device({3, CpuIsa::automatic, true}), b.graph(), given);
    std::vector<Tensor> results;
    for (auto& [name, t] : interpret(b.graph(), named)) results.push_back(t);
    return results;
  };
  SCOPED_TRACE(fmt::format("{} queries, {} keys of {}, {}", s.queries, s.keys, s.features, attributes.str()));
  const std::vector<Tensor> want = run(Op::attention, {q, k, v}, true), got = run(Op::attention, {q, k, v}, false);
  EXPECT_LT(distance(got[0], want[0]), 6e-3);
  const std::vector<Tensor> slopes = run(Op::attention_grad, {dy, q, k, v, want[0], want[1], want[2]}, true);
  const std::vector<Tensor> made = run(Op::attention_grad, {dy, q, k, v, got[0], got[1], got[2]}, false);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_LT(distance(made[i], slopes[i]), 1e-2) << "gradient " << i;
}

TEST(CpuAttention, NumbersInBf16AreNearTheResultsInF64) {
  for (const auto& [queries, keys] : {std::pair<I, I>{5, 64}, {64, 97}, {70, 129}, {197, 197}}) {
    const Sizes s{2, queries, keys, 2, 1, 64, 64};
    expect_near_double(s, attention_of(s));
    expect_near_double(s, attention_of(s, true, keys - queries));
  }
}

/// Products of pairs of numbers, where the processor has them: lone keys, lone queries, blocks that end early.
TEST(CpuAttention, PairsOfBf16NumbersAgreeAtAnyExtent) {
  for (const auto& [queries, keys] : {std::pair<I, I>{1, 1}, {2, 3}, {63, 65}, {66, 97}}) {
    const Sizes s{2, queries, keys, 2, 1, keys % 2 == 0 ? 64 : 18, 24};
    expect_generated(s, attention_of(s), DType::bf16);
    expect_generated(s, attention_of(s, true, keys - queries), DType::bf16, {}, 3);
  }
}

TEST(CpuAttention, PairsOfBf16NumbersUnderMasks) {
  const Sizes s{2, 9, 71, 2, 2, 8, 8};
  for (const Shape& shape : {Shape{2, 2, 9, 71}, Shape{2, 1, 1, 71}})
    expect_generated(s, attention_of(s), DType::bf16, {random_tensor(DType::f32, shape, 9, -3, 3)});
  Tensor keep = Tensor::full(DType::boolean, Shape{2, 1, 9, 71}, 1);
  for (std::size_t i = 0; i < 71; ++i) keep.mutable_values<bool>()[71 + i] = false;
  for (std::size_t i = 0; i < 40; ++i) keep.mutable_values<bool>()[3 * 71 + i] = false;
  expect_generated(s, attention_of(s, false, 0, true), DType::bf16, {keep});
  const Sizes odd{1, 9, 9, 2, 2, 7, 9};  // features that make no pairs
  expect_generated(odd, attention_of(odd), DType::bf16);
  for (const CpuIsa isa : {CpuIsa::avx2, CpuIsa::baseline})
    expect_generated(s, attention_of(s), DType::bf16, {}, 2, isa);
}

TEST(CpuAttention, EveryIsaAndAnyNumberOfThreadsAgrees) {
  const Sizes s{1, 150, 70, 2, 1, 24, 40};
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    expect_generated(s, attention_of(s), DType::f32, {}, 2, isa);
  for (const int threads : {1, 3, 8}) expect_generated(s, attention_of(s, true), DType::f32, {}, threads);
}

/// q, k and v of 3 heads of 8 from one projection, as exporters write it: slices, reshapes and transposes around.
TEST(CpuAttention, HeadsAreReadAndWrittenInsideOneProjection) {
  const Sizes s{2, 70, 70, 3, 3, 8, 8};
  Body body;
  GraphBuilder& b = body.b;
  const ValueId all = body.in(random_tensor(DType::f32, Shape{2, 70, 72}, 1));
  std::vector<ValueId> parts;
  for (I i = 0; i < 3; ++i)
    parts.push_back(b.reshape(b.slice(all, {0, 0, 24 * i}, {2, 70, 24 * (i + 1)}, {1, 1, 1}), {2, 70, 3, 8}));
  const std::vector<ValueId> made = b.node(Op::attention, parts, attention_of(s, true));
  body.out(b.reshape(made[0], {2, 70, 24}));
  body.out(made[1]);
  body.out(made[2]);
  EXPECT_EQ(check(std::move(body), 1e-5), "generated");
}

TEST(CpuAttention, GradientsAreWrittenSideBySide) {
  const Sizes s{2, 70, 70, 3, 3, 8, 8};
  Body body;
  GraphBuilder& b = body.b;
  const ValueId all = body.in(random_tensor(DType::f32, Shape{70, 2, 72}, 1));
  std::vector<ValueId> operands = {b.reshape(body.in(random_tensor(DType::f32, Shape{2, 70, 24}, 2)), {2, 70, 3, 8})};
  for (I i = 0; i < 3; ++i) {
    const ValueId part = b.slice(all, {0, 0, 24 * i}, {70, 2, 24 * (i + 1)}, {1, 1, 1});
    operands.push_back(b.transpose(b.reshape(part, {70, 2, 3, 8}), {1, 0, 2, 3}));
  }
  operands.push_back(body.in(random_tensor(DType::f32, Shape{2, 70, 3, 8}, 3)));
  operands.push_back(body.in(random_tensor(DType::f32, Shape{2, 3, 70}, 4, 4, 6)));
  operands.push_back(body.in(random_tensor(DType::f32, Shape{2, 3, 70}, 5, 0.2, 1)));
  std::vector<ValueId> grads = b.node(Op::attention_grad, operands, attention_of(s));
  for (ValueId& g : grads) g = b.reshape(b.transpose(g, {1, 0, 2, 3}), {70, 2, 24});
  body.out(b.concat(grads, 2));
  EXPECT_EQ(check(std::move(body), 4e-5), "generated");
}

TEST(CpuAttention, BiasesFarBeyondTheRangeOfExponentialsAreAddedOnce) {
  for (const I keys : {5, 70})
    for (const DType type : {DType::f32, DType::bf16}) {
      Tensor bias(DType::f32, {3, 1, 1, keys});  // all masked alike, all raised alike, one key raised above another
      auto* x = bias.mutable_values<float>().data();
      for (I k = 0; k < keys; ++k) x[k] = -1e4F, x[keys + k] = 1000;
      x[2 * keys] = 200, x[2 * keys + 1] = -150;
      const Sizes s{3, 5, keys, 2, 2, 8, 8};
      expect_generated(s, attention_of(s), type, {bias});
    }
}

TEST(CpuAttention, OnlyQueriesThatMeetANanGiveNan) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const bool causal : {false, true}) {
      const Sizes s{1, 70, 70, 2, 2, 8, 8};
      Body body;
      std::vector<ValueId> in;
      for (unsigned i = 1; i < 4; ++i) {
        Tensor t = random_tensor(DType::f32, Shape{1, 70, 2, 8}, i);
        if (i == 1) t.mutable_values<float>()[5 * 16] = NAN;       // a query of one head
        if (i == 2) t.mutable_values<float>()[67 * 16 + 8] = NAN;  // a key of the other: all its queries, or the last
        in.push_back(body.in(t.cast(type)));
      }
      body.out(body.b.node(Op::attention, in, attention_of(s, causal))[0]);
      EXPECT_EQ(check(std::move(body), type == DType::f32 ? 1e-5 : 1.6e-2), "generated");
    }
}

/// Scores so large that their roundings alone are beyond what an exponential may be given.
TEST(CpuAttention, ScoresFarBeyondTheRangeOfExponentialsPickTheirMaximum) {
  for (const double size : {1e2, 1e3, 1e4, 2e5, 1e8})
    for (const bool causal : {false, true}) {
      const Sizes s{1, 70, 70, 2, 2, 8, 8};
      SCOPED_TRACE(fmt::format("operands of {}", size));
      Body body;
      std::vector<ValueId> in;
      for (unsigned i = 1; i < 4; ++i) {
        Tensor t = random_tensor(DType::f32, Shape{1, 70, 2, 8}, i);
        if (i < 3)
          for (float& x : t.mutable_values<float>()) x *= static_cast<float>(size);
        in.push_back(body.in(t.cast(DType::bf16)));
      }
      body.out(body.b.node(Op::attention, in, attention_of(s, causal))[0]);
      EXPECT_EQ(check(std::move(body), 1.6e-2), "generated");
    }
}

TEST(CpuAttention, DoublesAreRefused) {
  testing::Body body;
  const Sizes s{1, 4, 4, 1, 1, 4, 4};
  std::vector<ValueId> in;
  for (unsigned i = 1; i < 4; ++i) in.push_back(body.in(random_tensor(DType::f64, Shape{1, 4, 1, 4}, i)));
  body.out(body.b.node(Op::attention, in, attention_of(s))[0]);
  EXPECT_FALSE(make_cpu_device({2, CpuIsa::automatic, true})->oracle().ask(body.b.graph()).offer.has_value());
}

}  // namespace
}  // namespace weft
