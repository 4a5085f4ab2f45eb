// Winograd's algorithm: who takes it, and how many digits it costs.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "graph/ir/interpret.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::random_tensor;

const ConvWindow kWindow{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};

/// The three directions of a 3 x 3 convolution of 32 channels.
std::vector<Body> bodies() {
  const Shape x{2, 32, 28, 28}, w{32, 32, 3, 3};
  std::vector<Body> result(3);
  const ValueId v = result[0].in(random_tensor(DType::f32, x, 1, -1, 1));
  const ValueId y = result[0].b.conv(v, result[0].in(random_tensor(DType::f32, w, 2, -1, 1)), kWindow);
  Attributes data = result[0].b.graph().producer(y)->attributes, filter = data;
  result[0].out(y);
  data.set("input_shape", x.extents());
  filter.set("filter_shape", w.extents());
  const ValueId dy = result[1].in(random_tensor(DType::f32, x, 3, -1, 1));
  result[1].out(result[1].b.one(Op::conv_data_grad, {dy, result[1].in(random_tensor(DType::f32, w, 4, -1, 1))}, data));
  const ValueId x2 = result[2].in(random_tensor(DType::f32, x, 5, -1, 1));
  result[2].out(
      result[2].b.one(Op::conv_filter_grad, {x2, result[2].in(random_tensor(DType::f32, x, 6, -1, 1))}, filter));
  return result;
}

TEST(CpuWinograd, IsTakenOnlyWhereFastMathIsAskedFor) {
  CpuOptions options{2, CpuIsa::automatic, true};
  const auto exact = make_cpu_device(options);
  options.fast_math = true;
  const auto fast = make_cpu_device(options);
  EXPECT_NE(exact->target(), fast->target());
  for (Body& body : bodies()) {
    const KernelAnswer answer = exact->oracle().ask(body.b.graph());
    EXPECT_TRUE(answer.offer->spec.implementation.starts_with("onednn.convolution"));
    EXPECT_TRUE(answer.refusals[1].reason.find("math: fast") != std::string::npos) << answer.refusals[1].reason;
  }
  Body strided;
  const ValueId v = strided.in(random_tensor(DType::f32, Shape{2, 32, 28, 28}, 1));
  strided.out(strided.b.conv(v, strided.in(random_tensor(DType::f32, Shape{32, 32, 3, 3}, 2)),
                             {{2, 2}, {1, 1}, {1, 1}, {1, 1}, 1}));
  EXPECT_EQ(fast->oracle().ask(strided.b.graph()).offer->spec.implementation, "onednn.convolution");
}

TEST(CpuWinograd, ResultsDifferFromExactOnesByLessThanIsStated) {
  CpuOptions options{2, CpuIsa::automatic, true};
  options.fast_math = true;
  const auto device = make_cpu_device(options);
  for (const Body& body : bodies()) {
    const Graph& graph = body.b.graph();
    std::string ran;
    const Tensor got = testing::run_body(*device, graph, body.values, &ran).at(0);
    if (!ran.starts_with("onednn.winograd")) GTEST_SKIP() << "the library has no Winograd on this processor: " << ran;
    const Tensor want = interpret(graph, {{"x0", body.values[0]}, {"x1", body.values[1]}}).at("y0");
    double difference = 0, largest = 0;
    for (std::int64_t i = 0; i < want.elements(); ++i) {
      difference = std::max(difference, std::abs(got.as_double(i) - want.as_double(i)));
      largest = std::max(largest, std::abs(want.as_double(i)));
    }
    EXPECT_LT(difference, 2e-5 * largest) << ran;  // what job.math says
  }
}

}  // namespace
}  // namespace weft
