// Slices and concatenations without copies: where they lie, and that values are the interpreter's.
#include "graph/lowering/windows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft::lowering {
namespace {

using testing::CompiledGraph;

Window window(const Shape& shape, Dims strides, std::int64_t offset) {
  return {{shape, std::move(strides), {}}, offset};
}

TEST(Windows, ColumnsOfAMatrixAreApartAndTouchingOnesAreNot) {
  const Window left = window({16, 650}, {2600, 1}, 0), right = window({16, 650}, {2600, 1}, 650);
  EXPECT_TRUE(are_apart(left, right));
  EXPECT_FALSE(are_apart(left, window({16, 650}, {2600, 1}, 649)));
  EXPECT_FALSE(are_apart(left, window({16, 650}, {2500, 1}, 650)));
  EXPECT_TRUE(are_apart(left, window({16, 2600}, {2600, 1}, 15 * 2600 + 650)));
  EXPECT_FALSE(are_apart(left, window({16, 2600}, {2600, 1}, 15 * 2600)));
}

TEST(Windows, ColumnsOfStackedMatricesAreApartToo) {
  EXPECT_TRUE(are_apart(window({4, 16, 50}, {3200, 200, 1}, 50), window({4, 16, 50}, {3200, 200, 1}, 150)));
  EXPECT_FALSE(are_apart(window({4, 16, 50}, {3210, 200, 1}, 50), window({4, 16, 50}, {3210, 200, 1}, 150)));
}

TEST(Windows, ReshapesOfStridedTensorsKeepTheirMemoryWhereItsOrderAllows) {
  const Layout columns{Shape{4, 128, 768}, {128 * 2304, 2304, 1}, {}};
  const auto heads = reshaped(columns, {4, 128, 12, 64});
  ASSERT_TRUE(heads.has_value());
  EXPECT_EQ(heads->strides, (Dims{128 * 2304, 2304, 64, 1}));
  const auto rows = reshaped(columns, {512, 768});
  ASSERT_TRUE(rows.has_value());
  EXPECT_EQ(rows->strides, (Dims{2304, 1}));
  EXPECT_FALSE(reshaped(columns, {4, 128 * 768}).has_value());
  const auto ones = reshaped(columns, {1, 4, 1, 128, 768, 1});
  ASSERT_TRUE(ones.has_value());
  EXPECT_EQ(ones->offset({0, 3, 0, 5, 7, 0}), columns.offset({3, 5, 7}));
}

Tensor numbers(const Shape& shape, double phase) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(std::sin(phase + 0.37 * static_cast<double>(i)));
  return Tensor::from<float>(shape, values);
}

ValueId columns(GraphBuilder& b, ValueId x, std::int64_t from, std::int64_t to) {
  return b.slice(x, {0, from}, {b.shape(x)[0], to}, {1, 1});
}

/// Runs it twice on one thread and on two, and returns how many kernels of each implementation there are.
std::map<std::string, int> expect_interpreted(const Graph& graph, std::map<std::string, Tensor> inputs) {
  std::map<std::string, int> kernels;
  for (const int threads : {1, 2}) {
    kernels.clear();
    const auto device = make_cpu_device({.threads = threads});
    CompiledGraph compiled(graph, inputs, *device);
    std::map<std::string, Tensor> now = inputs;
    for (int step = 1; step <= 2; ++step) {
      const auto expected = interpret(graph, now);
      compiled.fill_arena(0xff);
      const auto got = compiled.run(now, step);
      for (const auto& [name, tensor] : expected) {
        for (std::int64_t i = 0; i < tensor.elements(); ++i)
          EXPECT_NEAR(got.at(name).as_double(i), tensor.as_double(i), 1e-4) << name << " " << i << " step " << step;
        if (now.count(name)) now[name] = got.at(name);
      }
    }
    const Program& program = compiled.lowered().program;
    for (const Instruction& i : program.instructions)
      if (i.kernel >= 0) ++kernels[program.kernels[static_cast<std::size_t>(i.kernel)].implementation];
  }
  return kernels;
}

/// A cell with four gates side by side, unrolled, and what training it would concatenate.
TEST(Windows, AnUnrolledCellCopiesNothing) {
  GraphBuilder b;
  const std::int64_t batch = 3, width = 40;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {5, batch, 4 * width}});
  const ValueId w = b.input("w", InputRole::feed, {DType::f32, {4 * width, width}});
  ValueId h = b.input("h", InputRole::feed, {DType::f32, {batch, width}});
  std::vector<ValueId> states, gates;
  for (std::int64_t t = 0; t < 5; ++t) {
    const ValueId here = b.reshape(b.slice(x, {t, 0, 0}, {t + 1, batch, 4 * width}, {1, 1, 1}), {batch, 4 * width});
    const ValueId all = b.add(here, b.dot(h, w, {}, {}, {1}, {1}));
    std::vector<ValueId> gate;
    for (int g = 0; g < 4; ++g) gate.push_back(b.unary(Op::tanh, columns(b, all, g * width, (g + 1) * width)));
    h = b.add(b.mul(gate[0], gate[1]), b.mul(gate[2], gate[3]));
    states.push_back(b.reshape(h, {1, batch, width}));
    gates.push_back(b.concat({gate[3], gate[0], gate[2], gate[1]}, 1));
  }
  b.output("states", OutputRole::fetch, b.unary(Op::neg, b.concat(states, 0)));
  std::vector<ValueId> stacked;
  for (const ValueId g : gates) stacked.push_back(b.reshape(g, {1, batch, 4 * width}));
  b.output("gates", OutputRole::fetch, b.unary(Op::neg, b.concat(stacked, 0)));
  // The same parts, one after the other: in memory already.
  b.output("again", OutputRole::fetch, b.dot(b.concat(gates, 0), w, {}, {}, {1}, {0}));
  const auto kernels = expect_interpreted(std::move(b).take(), {{"x", numbers({5, batch, 4 * width}, 0)},
                                                                {"w", numbers({4 * width, width}, 1)},
                                                                {"h", numbers({batch, width}, 2)}});
  EXPECT_EQ(kernels.count("loop.copy"), 0U);
  EXPECT_EQ(kernels.count("onednn.reorder"), 0U);
}

TEST(Windows, PartsThatAreFedRepeatedReadElsewhereOrFetchedKeepTheirValues) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {6, 50}});
  const ValueId y = b.unary(Op::exp, x), z = b.unary(Op::tanh, x);
  const ValueId both = b.concat({x, y, z, y}, 1), wide = b.concat({z, b.unary(Op::neg, z)}, 1);
  b.output("both", OutputRole::fetch, b.mul(both, both));
  b.output("wide", OutputRole::fetch, b.unary(Op::abs, wide));
  b.output("z", OutputRole::fetch, z);
  b.output("rows", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(y, y), {1}, false));
  b.output("part", OutputRole::fetch, columns(b, both, 30, 130));
  expect_interpreted(std::move(b).take(), {{"x", numbers({6, 50}, 0)}});
}

TEST(Windows, ASliceOfAStateIsReadBeforeTheStateChanges) {
  GraphBuilder b;
  const ValueId s = b.input("s", InputRole::state, {DType::f32, {8, 96}});
  const ValueId left = columns(b, s, 0, 48), right = columns(b, s, 48, 96);
  b.output("s", OutputRole::state, b.add(b.unary(Op::tanh, s), b.concat({right, left}, 1)));
  b.output("sum", OutputRole::fetch, b.add(left, right));
  b.output("left", OutputRole::fetch, left);
  expect_interpreted(std::move(b).take(), {{"s", numbers({8, 96}, 0)}});
}

TEST(Windows, ASmallSliceDoesNotKeepItsOperandAlive) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {4096, 256}});
  const ValueId large = b.unary(Op::exp, x);
  const ValueId few = b.slice(large, {0, 0}, {16, 256}, {1, 1}), of_feed = b.slice(x, {0, 0}, {16, 256}, {1, 1});
  b.output("few", OutputRole::fetch, b.add(few, of_feed));
  const Graph graph = std::move(b).take();
  const WindowPlan plan(graph, {});
  EXPECT_FALSE(plan.is_window(*graph.producer(few)));
  EXPECT_TRUE(plan.is_window(*graph.producer(of_feed)));
}

TEST(Windows, ASliceThatIsReadLongAfterTheOthersIsCopied) {
  GraphBuilder b;
  const ValueId x = b.unary(Op::exp, b.input("x", InputRole::feed, {DType::f32, {16, 64}}));
  std::vector<ValueId> rows;
  for (std::int64_t i = 0; i < 16; ++i) rows.push_back(b.slice(x, {i, 0}, {i + 1, 64}, {1, 1}));
  ValueId sum = rows[0];
  for (const ValueId row : rows) sum = b.add(sum, row);
  for (int i = 0; i < 40; ++i) sum = b.unary(Op::tanh, sum);
  b.output("y", OutputRole::fetch, b.add(sum, rows[3]));
  const Graph graph = std::move(b).take();
  const WindowPlan plan(graph, {});
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(plan.is_window(*graph.producer(rows[i])), i != 3) << i;
}

TEST(Windows, WeightsThatManyProductsReadTransposedAreReorderedOnce) {
  GraphBuilder b;
  const ValueId w = b.input("w", InputRole::state, {DType::f32, {128, 128}});
  ValueId h = b.input("h", InputRole::feed, {DType::f32, {4, 128}});
  for (int i = 0; i < 10; ++i) h = b.unary(Op::tanh, b.dot(h, w, {}, {}, {1}, {1}));
  b.output("h", OutputRole::fetch, h);
  b.output("w", OutputRole::state, b.mul(w, b.like(w, 0.5)));
  const auto kernels =
      expect_interpreted(std::move(b).take(), {{"w", numbers({128, 128}, 0)}, {"h", numbers({4, 128}, 1)}});
  EXPECT_EQ(kernels.at("onednn.matmul"), 10);
  const int reorders = kernels.count("onednn.reorder") ? kernels.at("onednn.reorder") : 0;
  EXPECT_LE(reorders, 1);
}

}  // namespace
}  // namespace weft::lowering
