// Kernels along rows where shapes do not tell rows from columns, or numbers are far from ordinary: against the
// interpreter.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft::testing {
namespace {

constexpr std::int64_t kSide = 150;

Tensor waves(const Shape& shape, double scale, double offset = 0) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(offset + scale * std::sin(0.37 * static_cast<double>(i)));
  return Tensor::from<float>(shape, values);
}

/// Runs the graph on one thread and on three and compares every output with the interpreter's.
void expect_interpreted(const Graph& graph, const std::map<std::string, Tensor>& inputs, double tolerance) {
  const std::map<std::string, Tensor> expected = interpret(graph, inputs);
  for (const int threads : {1, 3}) {
    const auto device = make_cpu_device({.threads = threads});
    CompiledGraph compiled(graph, inputs, *device);
    compiled.fill_arena(0xff);
    const std::map<std::string, Tensor> outputs = compiled.run(inputs);
    for (const auto& [name, tensor] : expected)
      for (std::int64_t i = 0; i < tensor.elements(); ++i) {
        const double want = tensor.as_double(i), got = outputs.at(name).as_double(i);
        if (std::isnan(want))
          ASSERT_TRUE(std::isnan(got)) << name << " " << i;
        else
          ASSERT_NEAR(got, want, tolerance * std::max(1.0, std::abs(want))) << name << " " << i;
      }
  }
}

ValueId along(GraphBuilder& b, ValueId v, std::int64_t dimension) {
  return b.one(Op::broadcast, {v}, {{"shape", Dims{kSide, kSide}}, {"dims", Dims{dimension}}});
}

TEST(Rows, AStateThatRunsAlongTheRowsIsNotOverwrittenByOneValueARow) {
  GraphBuilder b;
  const ValueId s = b.input("s", InputRole::state, {DType::f32, Shape{kSide}});
  const ValueId z = b.input("z", InputRole::feed, {DType::f32, Shape{kSide, kSide}});
  b.output("s", OutputRole::state, b.reduce(Op::reduce_sum, b.mul(along(b, s, 1), z), {1}, false));
  expect_interpreted(std::move(b).take(), {{"s", waves(Shape{kSide}, 1)}, {"z", waves(Shape{kSide, kSide}, 0.1)}},
                     1e-4);
}

TEST(Rows, MeansOfColumnsSurviveTheVariancesOfRowsThatReadThem) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kSide, kSide}});
  const ValueId d = b.sub(x, along(b, b.mean(x, {0}, false), 1));
  const ValueId v = b.mean(b.mul(d, d), {1}, false);
  const ValueId e = b.sub(x, along(b, v, 1));
  const ValueId q = b.mean(b.mul(e, e), {1}, false);
  b.output("q", OutputRole::fetch, b.unary(Op::sqrt, q));
  b.output("sum", OutputRole::fetch, b.reduce(Op::reduce_sum, q, {0}, false));
  expect_interpreted(std::move(b).take(), {{"x", waves(Shape{kSide, kSide}, 1)}}, 1e-4);
}

// In f64 here: the interpreter rounds the mean before it subtracts it.
TEST(Rows, MomentsKeepTheirDigitsWhenTheMeanDwarfsTheSpread) {
  const Shape shape{5, 40000};
  const Tensor x = waves(shape, 20, 3e7);
  double mean = 0, variance = 0;
  for (std::int64_t i = 0; i < shape[1]; ++i) mean += x.as_double(i) / static_cast<double>(shape[1]);
  for (std::int64_t i = 0; i < shape[1]; ++i)
    variance += (x.as_double(i) - mean) * (x.as_double(i) - mean) / static_cast<double>(shape[1]);
  GraphBuilder b;
  const ValueId in = b.input("x", InputRole::feed, {DType::f32, shape});
  b.output("variance", OutputRole::fetch, b.node(Op::moments, {in}, {{"dims", Dims{1}}})[1]);
  const Graph graph = std::move(b).take();
  for (const int threads : {1, 3}) {
    const auto device = make_cpu_device({.threads = threads});
    EXPECT_NEAR(CompiledGraph(graph, {}, *device).run({{"x", x}}).at("variance").as_double(0), variance,
                1e-5 * variance);
  }
}

/// Results along few long rows, and sums of the rows: both in one walk, in chunks, over the memory of what is read.
TEST(Rows, ResultsAlongFewRowsAreWrittenWhileTheRowsAreReduced) {
  for (const std::int64_t channels : {3, 16, 20, 40, 72, 144}) {
    const Shape shape{5, 37, 41, channels};
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {DType::f32, shape});
    const ValueId y = b.input("y", InputRole::feed, {DType::f32, shape});
    ValueId v = x;
    for (int layer = 0; layer < 3; ++layer) {
      v = b.mul(b.unary(Op::tanh, v), y);
      b.output("sum" + std::to_string(layer), OutputRole::fetch, b.reduce(Op::reduce_sum, v, {0, 1, 2}));
      b.output("most" + std::to_string(layer), OutputRole::fetch, b.reduce(Op::reduce_max, v, {0, 1, 2}));
      const std::vector<ValueId> moments = b.node(Op::moments, {v}, {{"dims", Dims{0, 1, 2}}});
      b.output("mean" + std::to_string(layer), OutputRole::fetch, moments[0]);
      b.output("variance" + std::to_string(layer), OutputRole::fetch, moments[1]);
      v = b.one(Op::reverse, {v}, {{"dims", Dims{1}}});
    }
    b.output("v", OutputRole::fetch, v);
    expect_interpreted(std::move(b).take(), {{"x", waves(shape, 1)}, {"y", waves(shape, 0.7, 0.1)}}, 1e-4);
  }
}

TEST(Rows, IgnoredPositionsHaveNoGradientWhateverTheirLogits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  GraphBuilder b;
  const ValueId logits = b.input("logits", InputRole::feed, {DType::f32, Shape{3, 4}});
  const ValueId labels = b.input("labels", InputRole::feed, {DType::i64, Shape{3}});
  const ValueId loss =
      b.one(Op::cross_entropy, {logits, labels},
            {{"axis", std::int64_t{1}}, {"ignore_index", std::int64_t{-100}}, {"label_smoothing", 0.0}});
  const ValueId total = b.reduce(Op::reduce_sum, loss, {0}, false);
  b.output("gradient", OutputRole::fetch, gradients(b, total, {logits})[0]);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::map<std::string, Tensor> inputs{
      {"logits", Tensor::from<float>(Shape{3, 4}, std::vector<float>{nan, nan, nan, nan, -kInfinity, -kInfinity,
                                                                     -kInfinity, -kInfinity, 1, 2, 3, 4})},
      {"labels", Tensor::from<std::int64_t>(Shape{3}, std::vector<std::int64_t>{-100, -100, 2})}};
  const Graph graph = std::move(b).take();
  expect_interpreted(graph, inputs, 1e-5);
  const Tensor gradient = interpret(graph, inputs).at("gradient");
  for (std::int64_t i = 0; i < 8; ++i) EXPECT_EQ(gradient.as_double(i), 0) << i;
}

}  // namespace
}  // namespace weft::testing
