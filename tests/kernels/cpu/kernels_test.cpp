// Every kernel family against the host interpreter.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/cpu_device.hpp"
#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(CpuKernels, AllF32UnaryOperatorsAgreeWithTheInterpreterOnEveryIsa) {
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline}) {
    for (const Op op :
         {Op::neg,   Op::abs,        Op::sign,   Op::exp,    Op::expm1, Op::log,     Op::log1p,    Op::sqrt,
          Op::rsqrt, Op::reciprocal, Op::sin,    Op::cos,    Op::tan,   Op::asin,    Op::acos,     Op::atan,
          Op::sinh,  Op::cosh,       Op::asinh,  Op::acosh,  Op::atanh, Op::tanh,    Op::erf,      Op::floor,
          Op::ceil,  Op::round_even, Op::is_nan, Op::is_inf, Op::relu,  Op::sigmoid, Op::softplus, Op::silu}) {
      Body body;
      Tensor x = random_tensor(DType::f32, Shape{1037}, 7, -5, 5);
      const float special[] = {0, -0.0f, 1, -1, kInf, -kInf, kNaN, 80, -80, 1e-6f, -1e-6f, 0.5f, 1.5f, 2.5f, 1e10f};
      std::copy(std::begin(special), std::end(special), x.mutable_values<float>().begin());
      body.out(body.b.unary(op, body.in(x)));
      SCOPED_TRACE(std::string(name_of(op)));
      EXPECT_EQ(check(std::move(body), 4e-6, {2, isa, true}), "generated");
    }
  }
}

TEST(CpuKernels, BinaryOperatorsAgreeOnFloatsAndIntegers) {
  for (const DType type : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::bf16, DType::f16})
    for (const Op op : {Op::add, Op::sub, Op::mul, Op::div, Op::maximum, Op::minimum, Op::less, Op::equal, Op::rem}) {
      Body body;
      const double low = type == DType::u8 ? 0 : -9;
      const ValueId x = body.in(random_tensor(type, Shape{3, 301}, 1, low, 9));
      const ValueId y = body.in(random_tensor(type, Shape{3, 301}, 2, low, 9));
      body.out(body.b.binary(op, x, y));
      SCOPED_TRACE(std::string(name_of(op)) + " " + std::string(name_of(type)));
      EXPECT_EQ(check(std::move(body)), "generated");
    }
}

TEST(CpuKernels, PointwiseWalksBroadcastsIotaAndConstantsInBlockedAndChannelsLastLayouts) {
  const Shape shape{2, 32, 5, 7};
  for (const Layout& layout : {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}),
                               Layout::blocked(shape, {{1, 16}}), Layout::blocked(shape, {{1, 8}})}) {
    Body body;
    GraphBuilder& b = body.b;
    const ValueId x = body.in(random_tensor(DType::f32, shape, 3));
    const ValueId scale = body.in(random_tensor(DType::f32, Shape{32}, 4));
    const ValueId mask = body.in(random_tensor(DType::f32, Shape{2, 1, 5, 7}, 5));
    const ValueId s = b.broadcast_in(scale, shape, {1});
    const ValueId y = b.add(b.mul(x, s), b.broadcast_in(mask, shape, {0, 1, 2, 3}));
    body.out(b.unary(Op::relu, b.add(y, b.like(y, 0.25))));
    body.out(b.select(b.binary(Op::less, b.iota(DType::f32, shape, 1), b.like(x, 10)), x, y));
    SCOPED_TRACE(layout.str());
    EXPECT_EQ(check(std::move(body), 2e-6, {2, CpuIsa::automatic, true}, {{{0, layout}}, {}}), "generated");
  }
}

TEST(CpuKernels, LargePointwiseBodiesSplitOverThreads) {
  Body body;
  GraphBuilder& b = body.b;
  const Shape shape{100003};
  const ValueId w = body.in(random_tensor(DType::f32, shape, 1)), g = body.in(random_tensor(DType::f32, shape, 2)),
                m = body.in(random_tensor(DType::f32, shape, 3)), lr = body.in(Tensor::scalar(0.1f));
  const ValueId next = b.add(b.mul(m, b.like(m, 0.9)), b.add(g, b.mul(w, b.like(w, 5e-4))));
  body.out(next);
  body.out(b.sub(w, b.mul(next, b.broadcast_to(lr, shape))));
  EXPECT_EQ(check(std::move(body)), "generated");
}

TEST(CpuKernels, ReductionsAgreeOverAnyDimensionsAndLayouts) {
  const Shape shape{3, 32, 9, 11};
  for (const Layout& layout :
       {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}), Layout::blocked(shape, {{1, 16}})})
    for (const Dims& dims : {Dims{0, 2, 3}, Dims{1}, Dims{3}, Dims{0, 1, 2, 3}, Dims{0}, Dims{2, 3}})
      for (const Op op : {Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::moments}) {
        Body body;
        const ValueId x = body.in(random_tensor(DType::f32, shape, 3));
        const ValueId y = body.b.mul(x, x);
        for (const ValueId r : body.b.node(op, {op == Op::moments ? x : y}, {{"dims", dims}})) body.out(r);
        SCOPED_TRACE(layout.str() + " " + std::string(name_of(op)) + to_string(dims));
        EXPECT_EQ(check(std::move(body), 2e-6, {2, CpuIsa::automatic, true}, {{{0, layout}}, {}}), "generated");
      }
}

TEST(CpuKernels, ReductionsOfOtherTypesAndNaNAgree) {
  for (const DType type : {DType::f64, DType::i32, DType::i64, DType::bf16, DType::u8})
    for (const Op op : {Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::reduce_prod}) {
      Body body;
      body.out(body.b.reduce(op, body.in(random_tensor(type, Shape{5, 6, 7}, 3, 1, 3)), {1}));
      SCOPED_TRACE(std::string(name_of(type)) + " " + std::string(name_of(op)));
      EXPECT_EQ(check(std::move(body), 1e-5), "generated");
    }
  Body body;
  Tensor x = random_tensor(DType::f32, Shape{4, 33}, 3);
  x.mutable_values<float>()[40] = kNaN;
  body.out(body.b.reduce(Op::reduce_max, body.in(x), {1}));
  check(std::move(body));
}

TEST(CpuKernels, MomentsStayExactWhenTheMeanDwarfsTheSpread) {
  Body body;
  Tensor x = random_tensor(DType::f32, Shape{8, 4, 900}, 3, 10000, 10001);
  for (const ValueId r : body.b.node(Op::moments, {body.in(x)}, {{"dims", Dims{0, 2}}})) body.out(r);
  EXPECT_EQ(check(std::move(body), 1e-6), "generated");
}

TEST(CpuKernels, MatrixProductsReadTransposedOperandsAsTheyLieAndFuseEpilogues) {
  for (int variant = 0; variant < 4; ++variant) {
    Body body;
    GraphBuilder& b = body.b;
    const bool tx = variant & 1, ty = variant & 2;
    const ValueId x = body.in(random_tensor(DType::f32, tx ? Shape{40, 17} : Shape{17, 40}, 1));
    const ValueId y = body.in(random_tensor(DType::f32, ty ? Shape{23, 40} : Shape{40, 23}, 2));
    const ValueId bias = body.in(random_tensor(DType::f32, Shape{23}, 3));
    const ValueId p = b.dot(x, y, {}, {}, {tx ? 0 : 1}, {ty ? 1 : 0});
    body.out(b.unary(Op::relu, b.add(p, b.broadcast_in(bias, Shape{17, 23}, {1}))));
    EXPECT_EQ(check(std::move(body), 1e-5), "onednn.matmul");
  }
  Body batched;
  const ValueId x = batched.in(random_tensor(DType::f32, Shape{2, 5, 3, 8}, 1));
  const ValueId y = batched.in(random_tensor(DType::f32, Shape{2, 7, 3, 8}, 2));
  batched.out(batched.b.dot(x, y, {0, 2}, {0, 2}, {3}, {3}));
  EXPECT_EQ(check(std::move(batched), 1e-5), "onednn.matmul");
}

TEST(CpuKernels, FusedReluKeepsNaN) {
  Body body;
  Tensor x = random_tensor(DType::f32, Shape{4, 8}, 1);
  x.mutable_values<float>()[3] = kNaN;
  const ValueId p = body.b.matmul(body.in(x), body.in(random_tensor(DType::f32, Shape{8, 6}, 2)));
  body.out(body.b.unary(Op::relu, p));
  EXPECT_EQ(check(std::move(body), 1e-5), "onednn.matmul");
}

TEST(CpuKernels, ConvolutionsAndTheirGradientsAgree) {
  struct Case {
    Shape x, w;
    ConvWindow window;
  };
  const std::vector<Case> cases = {{{2, 1, 12, 12}, {6, 1, 5, 5}, {{1, 1}, {2, 2}, {2, 2}, {1, 1}, 1}},
                                   {{2, 6, 14, 14}, {16, 6, 5, 5}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}},
                                   {{2, 3, 20, 20}, {64, 3, 7, 7}, {{2, 2}, {3, 3}, {3, 3}, {1, 1}, 1}},
                                   {{2, 32, 9, 9}, {48, 32, 3, 3}, {{2, 2}, {1, 1}, {0, 1}, {1, 1}, 1}},
                                   {{2, 32, 9, 9}, {32, 1, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 32}},
                                   {{2, 32, 9, 9}, {64, 8, 3, 3}, {{1, 1}, {2, 2}, {2, 2}, {2, 2}, 4}},
                                   {{2, 5, 30}, {7, 5, 3}, {{1}, {1}, {1}, {1}, 1}}};
  for (const Case& c : cases) {
    Body forward;
    const ValueId x = forward.in(random_tensor(DType::f32, c.x, 1)), w = forward.in(random_tensor(DType::f32, c.w, 2));
    const ValueId bias = forward.in(random_tensor(DType::f32, Shape{c.w[0]}, 3));
    const ValueId y = forward.b.conv(x, w, c.window);
    const Node node = *forward.b.graph().producer(y);
    const Shape ys = forward.b.shape(y);
    forward.out(forward.b.unary(Op::relu, forward.b.add(y, forward.b.broadcast_in(bias, ys, {1}))));
    SCOPED_TRACE(c.x.str() + c.w.str());
    EXPECT_EQ(check(std::move(forward), 2e-4), "onednn.convolution");

    Body data, filter;
    Attributes a = node.attributes;
    a.set("input_shape", c.x.extents());
    const ValueId dy = data.in(random_tensor(DType::f32, ys, 4)), w2 = data.in(random_tensor(DType::f32, c.w, 2));
    data.out(data.b.one(Op::conv_data_grad, {dy, w2}, a));
    EXPECT_EQ(check(std::move(data), 2e-4), "onednn.convolution_backward_data");
    Attributes f = node.attributes;
    f.set("filter_shape", c.w.extents());
    const ValueId x3 = filter.in(random_tensor(DType::f32, c.x, 1)), dy3 = filter.in(random_tensor(DType::f32, ys, 4));
    filter.out(filter.b.one(Op::conv_filter_grad, {x3, dy3}, f));
    EXPECT_EQ(check(std::move(filter), 2e-4), "onednn.convolution_backward_weights");
  }
}

// A convolution, plain or with bias, residual and relu; and its two gradients, all of x, w and what comes of them.
std::vector<Body> convolution_bodies(const Shape& xs, const Shape& ws, std::int64_t stride = 1) {
  std::vector<Body> bodies(4);
  const std::int64_t pad = ws[2] / 2;
  const ConvWindow window{{stride, stride}, {pad, pad}, {pad, pad}, {1, 1}, 1};
  const Tensor x = random_tensor(DType::f32, xs, 1), w = random_tensor(DType::f32, ws, 2);
  for (const bool fused : {false, true}) {
    Body& body = bodies[fused ? 1 : 0];
    ValueId y = body.b.conv(body.in(x), body.in(w), window);
    if (fused) {
      const Shape ys = body.b.shape(y);
      y = body.b.add(y, body.b.broadcast_in(body.in(random_tensor(DType::f32, Shape{ws[0]}, 3)), ys, {1}));
      y = body.b.unary(Op::relu, body.b.add(y, body.in(random_tensor(DType::f32, ys, 4))));
    }
    body.out(y);
  }
  const Node& node = bodies[0].b.graph().nodes().front();
  const Shape ys = bodies[0].b.shape(node.outputs[0]);
  const Tensor dy = random_tensor(DType::f32, ys, 5);
  Attributes data = node.attributes, filter = node.attributes;
  data.set("input_shape", xs.extents());
  filter.set("filter_shape", ws.extents());
  bodies[2].out(bodies[2].b.one(Op::conv_data_grad, {bodies[2].in(dy), bodies[2].in(w)}, data));
  bodies[3].out(bodies[3].b.one(Op::conv_filter_grad, {bodies[3].in(x), bodies[3].in(dy)}, filter));
  return bodies;
}

struct ConvolutionCase {
  Shape x, w;
  std::int64_t stride = 1;
};

/// Asked again with its own layouts, the oracle offers the same: nothing slower, and no reference code. Refused where
/// the layouts do not lead back to the library's fast kernel.
void expect_taken_back(const Body& body, const Device& device) {
  const KernelAnswer first = device.oracle().ask(body.b.graph());
  ASSERT_TRUE(first.offer);
  const KernelAnswer again = device.oracle().ask(first.offer->spec.body);
  ASSERT_TRUE(again.offer);
  EXPECT_EQ(again.offer->spec.implementation, first.offer->spec.implementation);
}

TEST(CpuKernels, AConvolutionTakesBackTheLayoutsThatItOffered) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  // Channels that fill one block, and images of one pixel: their layouts have several names, and the library's fast
  // kernels may know only one.
  for (const auto& [x, w, stride] : {ConvolutionCase{{2, 1, 14, 14}, {16, 1, 3, 3}},
                                     {{2, 3, 14, 14}, {8, 3, 3, 3}},
                                     {{2, 8, 14, 14}, {16, 8, 3, 3}},
                                     {{2, 16, 14, 14}, {8, 16, 3, 3}},
                                     {{2, 16, 14, 14}, {16, 16, 3, 3}},
                                     {{2, 16, 14, 14}, {32, 16, 3, 3}},
                                     {{2, 32, 14, 14}, {16, 32, 3, 3}},
                                     {{2, 16, 8, 8}, {32, 16, 1, 1}, 2},
                                     {{2, 16, 8, 8}, {64, 16, 1, 1}},
                                     {{2, 32, 8, 8}, {16, 32, 1, 1}},
                                     {{4, 128, 1, 1}, {128, 128, 3, 3}},
                                     {{4, 64, 1, 1}, {16, 64, 3, 3}}})
    for (Body& body : convolution_bodies(x, w, stride)) {
      SCOPED_TRACE(body.b.graph().str());
      expect_taken_back(body, *device);
      const std::string implementation = device->oracle().ask(body.b.graph()).offer->spec.implementation;
      EXPECT_EQ(check(std::move(body), 2e-4), implementation);
    }
}

TEST(CpuKernels, ConvolutionsOfResidualNetworksTakeBackTheLayoutsThatTheyOffered) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  for (const std::int64_t width : {8, 16, 32, 64})
    for (const std::int64_t stage : {1, 2, 4, 8}) {
      const std::int64_t inner = width * stage, outer = 4 * inner, image = 32 / stage, half = image / 2;
      for (const auto& [x, w, stride] : {ConvolutionCase{{2, inner, image, image}, {inner, inner, 3, 3}},
                                         {{2, inner, image, image}, {2 * inner, inner, 3, 3}, 2},
                                         {{2, inner, image, image}, {2 * inner, inner, 1, 1}, 2},
                                         {{2, inner, image, image}, {outer, inner, 1, 1}},
                                         {{2, outer, half, half}, {inner, outer, 1, 1}},
                                         {{2, outer, image, image}, {2 * outer, outer, 1, 1}, 2}})
        for (const Body& body : convolution_bodies(x, w, stride)) {
          SCOPED_TRACE(body.b.graph().str());
          expect_taken_back(body, *device);
        }
    }
}

TEST(CpuKernels, WindowsAndTheirGradientsAgreeInEveryLayout) {
  const Shape shape{2, 16, 9, 10};
  const PoolWindow window{{1, 1, 3, 3}, {1, 1, 2, 2}, {0, 0, 1, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}};
  for (const Layout& layout :
       {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}), Layout::blocked(shape, {{1, 16}})})
    for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum}) {
      SCOPED_TRACE(layout.str() + std::string(name_of(op)));
      Body forward;
      // Few distinct values: ties must go to the first.
      const Tensor x = random_tensor(DType::f32, shape, 1, -3, 3).cast(DType::i32).cast(DType::f32);
      const ValueId y = forward.b.pool(op, forward.in(x), window);
      const Shape ys = forward.b.shape(y);
      Attributes a = forward.b.graph().producer(y)->attributes;
      forward.out(y);
      EXPECT_EQ(check(std::move(forward), 2e-6, {2, CpuIsa::automatic, true}, {{{0, layout}}, {}}), "generated");
      Body backward;
      const Tensor dy = random_tensor(DType::f32, ys, 2);
      if (op == Op::reduce_window_max) {
        const ValueId x2 = backward.in(x), dy2 = backward.in(dy);
        backward.out(backward.b.one(Op::reduce_window_max_grad, {x2, dy2}, a));
        EXPECT_EQ(check(std::move(backward), 2e-6, {2, CpuIsa::automatic, true}, {{{0, layout}}, {}}), "generated");
      } else {
        a.set("input_shape", shape.extents());
        backward.out(backward.b.one(Op::reduce_window_sum_grad, {backward.in(dy)}, a));
        EXPECT_EQ(check(std::move(backward)), "generated");
      }
    }
}

TEST(CpuKernels, ABodyThatNobodyTakesSaysWhy) {
  Body body;
  body.out(
      body.b.node(Op::softmax, {body.in(random_tensor(DType::f32, Shape{2, 3}, 1))}, {{"axis", std::int64_t{1}}})[0]);
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const KernelAnswer answer = device->oracle().ask(body.b.graph());
  EXPECT_FALSE(answer.offer);
  ASSERT_FALSE(answer.refusals.empty());
  EXPECT_NE(answer.refusals.back().reason, "");
}

}  // namespace
}  // namespace weft
