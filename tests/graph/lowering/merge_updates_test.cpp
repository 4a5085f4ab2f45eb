// Small updates in few launches: what is merged, and that values are the interpreter's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft::lowering::merging {
namespace {

using weft::testing::CompiledGraph;

Tensor numbers(const Shape& shape, double phase) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(std::sin(phase + 0.37 * static_cast<double>(i)));
  return Tensor::from<float>(shape, values);
}

/// Momentum on `lengths.size()` parameters, each with a gradient made of a product.
struct Updates {
  GraphBuilder b;
  std::map<std::string, Tensor> inputs;

  explicit Updates(const std::vector<std::int64_t>& lengths) {
    const ValueId lr = b.input("lr", InputRole::feed, {DType::f32, Shape{}});
    inputs["lr"] = numbers({}, 0.3);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const Shape shape{lengths[i]};
      const auto name = [&](const char* what) { return what + std::to_string(i); };
      const ValueId w = b.input(name("w"), InputRole::state, {DType::f32, shape});
      const ValueId m = b.input(name("m"), InputRole::state, {DType::f32, shape});
      const ValueId x = b.input(name("x"), InputRole::feed, {DType::f32, {8, lengths[i]}});
      const ValueId y = b.input(name("y"), InputRole::feed, {DType::f32, {8}});
      for (const char* what : {"w", "m"}) inputs[name(what)] = numbers(shape, static_cast<double>(i));
      inputs[name("x")] = numbers({8, lengths[i]}, 1);
      inputs[name("y")] = numbers({8}, static_cast<double>(i));
      const ValueId moment = b.add(b.mul(m, b.like(m, 0.9)), b.unary(Op::tanh, b.dot(y, x, {}, {}, {0}, {0})));
      const ValueId rate = b.one(Op::broadcast, {lr}, {{"shape", shape.extents()}, {"dims", Dims{}}});
      b.output(name("m"), OutputRole::state, moment);
      b.output(name("w"), OutputRole::state, b.sub(w, b.mul(rate, moment)));
    }
  }
};

/// How many launches of each implementation there are, after two steps like the interpreter's.
std::map<std::string, int> expect_interpreted(Updates updates, const LoweringOptions& options = {}) {
  const Graph graph = std::move(updates.b).take();
  const auto device = make_cpu_device({.threads = 2});
  std::map<std::string, Tensor> now = updates.inputs;
  CompiledGraph compiled(graph, now, *device, options);
  for (int step = 1; step <= 2; ++step) {
    const auto expected = interpret(graph, now);
    compiled.fill_arena(0xff);
    const auto got = compiled.run(now, step);
    for (const auto& [name, tensor] : expected) {
      for (std::int64_t i = 0; i < tensor.elements(); ++i)
        EXPECT_NEAR(got.at(name).as_double(i), tensor.as_double(i), 1e-5) << name << " " << i << " step " << step;
      if (now.count(name)) now[name] = got.at(name);
    }
  }
  std::map<std::string, int> launches;
  const Program& program = compiled.lowered().program;
  for (const Instruction& i : program.instructions)
    if (i.kernel >= 0) ++launches[program.kernels[static_cast<std::size_t>(i.kernel)].implementation];
  return launches;
}

TEST(MergeUpdates, ThoseOfOneKindShareALaunchAndLargeOnesDoNot) {
  const std::vector<std::int64_t> lengths{3, 5, 64, 100, 5000, 65, 7, 200000, 90};
  const auto launches = expect_interpreted(Updates(lengths));
  EXPECT_EQ(launches.at("generated.segments"), 1);
  LoweringOptions options;
  options.without = {"launches"};
  const auto apart = expect_interpreted(Updates(lengths), options);
  EXPECT_EQ(apart.count("generated.segments"), 0U);
  EXPECT_EQ(apart.at("generated") - launches.at("generated"), 8);
}

TEST(MergeUpdates, ReadersOfOldValuesAndCopiesToOtherStatesStayBeforeThem) {
  Updates updates({33, 50, 80, 21});
  GraphBuilder& b = updates.b;
  const ValueId w = b.graph().find_input("w1");
  const ValueId other = b.input("other", InputRole::state, {DType::f32, {50}});
  updates.inputs["other"] = numbers({50}, 4);
  b.output("sum", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(w, other), {0}, false));
  b.output("other", OutputRole::state, w);
  const auto launches = expect_interpreted(std::move(updates));
  EXPECT_GE(launches.at("generated.segments"), 1);
}

TEST(MergeUpdates, AStateThatReadsAnUpdatedOnesNewValueComesAfterIt) {
  Updates updates({33, 50, 80});
  GraphBuilder& b = updates.b;
  const ValueId next = b.graph().find_output("w1");
  const ValueId average = b.input("average", InputRole::state, {DType::f32, {50}});
  updates.inputs["average"] = numbers({50}, 4);
  b.output("average", OutputRole::state, b.add(average, b.unary(Op::stop_gradient, next)));
  b.output("norm", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(next, next), {0}, false));
  expect_interpreted(std::move(updates));
}

TEST(MergeUpdates, WhatWaitsIsBounded) {
  std::vector<std::int64_t> lengths(40, 60000);
  const auto launches = expect_interpreted(Updates(lengths));
  EXPECT_GT(launches.at("generated.segments"), 4);
}

}  // namespace
}  // namespace weft::lowering::merging
