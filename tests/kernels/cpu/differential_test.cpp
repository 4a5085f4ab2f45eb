// Random fused bodies against the host interpreter, on every instruction set and several thread counts.
//
// Values are small multiples of a power of two, and most operators keep them so: sums and products are exact in any
// order, and results must then be equal, not close. What a device may refuse (fusing is its choice) is skipped, but not
// too often.
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"
#include "tests/support/dice.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::Dice;
using testing::expect_close;
using testing::FixedLayouts;
using testing::run_body;

constexpr unsigned kBodies = 150;  ///< of each kind
/// Equality but for the sign of zero.
constexpr double kExact = 1e-300;

/// Runs `body` on all configurations. Returns the implementation, or "" when it is refused.
std::string compare(const Body& body, const FixedLayouts& fixed, double tolerance) {
  Graph graph = body.b.graph();
  std::map<std::string, Tensor> inputs;
  for (std::size_t i = 0; i < body.values.size(); ++i) inputs["x" + std::to_string(i)] = body.values[i];
  const auto want = interpret(graph, inputs);
  for (const auto& [i, l] : fixed.inputs) graph.value(graph.inputs()[static_cast<std::size_t>(i)].value).layout = l;
  for (const auto& [o, l] : fixed.outputs) graph.value(graph.outputs()[static_cast<std::size_t>(o)].value).layout = l;
  std::string implementation;
  std::vector<Tensor> first;
  for (const CpuOptions& options : {CpuOptions{1, CpuIsa::automatic, true}, CpuOptions{3, CpuIsa::avx2, true},
                                    CpuOptions{2, CpuIsa::baseline, true}}) {
    const auto device = make_cpu_device(options);
    const KernelAnswer answer = device->oracle().ask(graph);
    if (!answer.offer) return "";
    implementation = answer.offer->spec.implementation;
    const std::string what = implementation + " on " + device->target().str() + "\n" + answer.offer->spec.body.str();
    const std::vector<Tensor> got = run_body(*device, graph, body.values);
    for (std::size_t o = 0; o < got.size(); ++o) {
      expect_close(got[o], want.at("y" + std::to_string(o)), tolerance, what);
      if (!first.empty() && !implementation.starts_with("onednn")) {
        EXPECT_TRUE(got[o].identical(first[o])) << "other bits on " << what;
      }
    }
    if (first.empty()) first = got;
  }
  return implementation;
}

/// Grows elementwise expressions over one iteration shape.
class Elementwise {
 public:
  Elementwise(Dice& dice, Body& body, Shape shape, DType type)
      : dice_(dice), body_(body), shape_(std::move(shape)), type_(type) {}

  /// An expression of the iteration shape in the working type.
  ValueId grow(int depth) {
    if (depth == 0 || dice_.chance(15)) return leaf();
    GraphBuilder& b = body_.b;
    const ValueId x = grow(depth - 1);
    switch (dice_.roll(0, 9)) {
      case 0: return b.unary(Op::neg, x);
      case 1: return b.unary(dice_.pick({Op::abs, Op::sign}), x);
      case 2: return is_float(type_) ? b.unary(Op::relu, x) : b.unary(Op::abs, x);
      case 3: return b.binary(dice_.pick({Op::maximum, Op::minimum}), x, grow(depth - 1));
      case 4: return b.mul(x, leaf());
      case 5: {
        const ValueId y = grow(depth - 1);
        const Op op = dice_.pick({Op::less, Op::greater_equal, Op::equal});
        return b.select(b.binary(op, x, leaf()), y, x);
      }
      case 6: return b.cast(b.cast(x, dice_.pick({DType::i32, DType::f64, DType::f32})), type_);
      case 7: return b.cast(b.binary(Op::less, x, leaf()), type_);
      default: return b.binary(dice_.pick({Op::add, Op::sub}), x, grow(depth - 1));
    }
  }

 private:
  ValueId leaf() {
    GraphBuilder& b = body_.b;
    const std::int64_t kind = dice_.roll(0, 9);
    if (kind == 0) return b.full(type_, shape_, static_cast<double>(dice_.roll(0, 8)) / (is_float(type_) ? 4 : 1));
    if (kind == 1 && shape_.rank() > 0)
      return b.iota(type_, shape_, static_cast<int>(dice_.roll(0, shape_.rank() - 1)));
    if (kind <= 4) return broadcast();
    if (kind <= 6 && !full_.empty()) return full_[static_cast<std::size_t>(dice_.roll(0, std::ssize(full_) - 1))];
    full_.push_back(body_.in(dice_.values(type_, shape_)));
    return full_.back();
  }

  /// Some dimensions of the iteration shape, some of them with an extent of 1 instead.
  ValueId broadcast() {
    const Dims dims = dice_.some(shape_.rank(), 50);
    Dims extents;
    for (const std::int64_t d : dims) extents.push_back(dice_.chance(25) ? 1 : shape_[static_cast<int>(d)]);
    return body_.b.broadcast_in(body_.in(dice_.values(type_, Shape(extents))), shape_, dims);
  }

  Dice& dice_;
  Body& body_;
  Shape shape_;
  DType type_;
  std::vector<ValueId> full_;
};

/// Fixes the layouts of some inputs of the iteration shape: mostly one layout for all, as in a network.
FixedLayouts some_layouts(Dice& dice, const Body& body, const Shape& shape, bool outputs) {
  FixedLayouts fixed;
  const Layout common = dice.layout(shape);
  const auto choose = [&] { return dice.chance(85) ? common : dice.layout(shape); };
  for (std::size_t i = 0; i < body.values.size(); ++i)
    if (body.values[i].shape() == shape && dice.chance(60)) fixed.inputs[static_cast<int>(i)] = choose();
  for (int o = 0; outputs && o < body.outputs; ++o)
    if (dice.chance(30)) fixed.outputs[o] = choose();
  return fixed;
}

DType any_type(Dice& dice) {
  return dice.pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::i64});
}

TEST(CpuDifferential, ElementwiseBodies) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(0, 5)), dice.pick<std::int64_t>({5, 9, 20}));
    Elementwise expression(dice, body, shape, any_type(dice));
    const std::int64_t results = dice.roll(1, 3);
    for (std::int64_t r = 0; r < results; ++r) body.out(expression.grow(static_cast<int>(dice.roll(1, 5))));
    taken += compare(body, some_layouts(dice, body, shape, true), kExact).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

TEST(CpuDifferential, ReductionsOfElementwiseBodies) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 5)), dice.pick<std::int64_t>({4, 9, 24}));
    const DType type = any_type(dice);
    Elementwise expression(dice, body, shape, type);
    const Dims dims = dice.some(shape.rank(), 60);
    const std::int64_t results = dice.roll(1, 3);
    bool moments = false;
    for (std::int64_t r = 0; r < results; ++r) {
      const ValueId x = expression.grow(static_cast<int>(dice.roll(0, 3)));
      // Not of large 16-bit tensors: the interpreter divides by a count in their type.
      if (is_float(type) && shape.elements() > 0 && shape.elements() < 1000 && dice.chance(25)) {
        for (const ValueId v : body.b.node(Op::moments, {x}, {{"dims", dims}})) body.out(v);
        moments = true;
      } else {
        body.out(body.b.reduce(dice.pick({Op::reduce_sum, Op::reduce_sum, Op::reduce_max, Op::reduce_min}), x, dims));
      }
    }
    const double tolerance = moments ? 4 * testing::tolerance_of(type) : kExact;
    taken += compare(body, some_layouts(dice, body, shape, false), tolerance).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

/// bias, residual, relu, in that order, each perhaps.
ValueId with_epilogue(Dice& dice, Body& body, ValueId y, int channel_dim) {
  GraphBuilder& b = body.b;
  const Shape shape = b.shape(y);
  const DType type = b.dtype(y);
  if (dice.chance(60)) {
    const ValueId bias = body.in(dice.values(type, Shape{shape[channel_dim]}));
    y = b.add(y, b.broadcast_in(bias, shape, {channel_dim}));
  }
  if (dice.chance(40)) {
    const ValueId residual = body.in(dice.values(type, shape));
    y = dice.chance(50) ? b.add(y, residual) : b.add(residual, y);
  }
  return dice.chance(50) ? b.unary(Op::relu, y) : y;
}

/// 16-bit results are rounded after each step of an epilogue here, once there.
double epilogue_tolerance(DType type) { return type == DType::bf16 || type == DType::f16 ? 3e-2 : kExact; }

TEST(CpuDifferential, ProductsWithEpilogues) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    Body body;
    const DType type = dice.pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64});
    // Batch, contracted and free dimensions of both sides, each side in an order of its own.
    const Dims batch = dice.shape(static_cast<int>(dice.roll(0, 2)), 4).extents();
    const Dims contract = dice.shape(static_cast<int>(dice.roll(1, 2)), 20).extents();
    const auto side = [&](Dims& batch_at, Dims& contract_at) {
      Dims all = batch;
      all.insert(all.end(), contract.begin(), contract.end());
      const Dims free = dice.shape(static_cast<int>(dice.chance(80) ? 1 : dice.roll(0, 2)), 40).extents();
      all.insert(all.end(), free.begin(), free.end());
      const Dims order = dice.order(static_cast<int>(all.size()));
      Dims extents(all.size());
      for (std::size_t i = 0; i < all.size(); ++i) {
        extents[static_cast<std::size_t>(order[i])] = all[i];
        if (i < batch.size())
          batch_at.push_back(order[i]);
        else if (i < batch.size() + contract.size())
          contract_at.push_back(order[i]);
      }
      return body.in(dice.values(type, Shape(extents)));
    };
    Dims xb, yb, xc, yc;
    const ValueId x = side(xb, xc), y = side(yb, yc);
    ValueId z = body.b.dot(x, y, xb, yb, xc, yc);
    const int rank = body.b.shape(z).rank();
    if (rank > 0 && dice.chance(70)) z = with_epilogue(dice, body, z, dice.chance(85) ? rank - 1 : 0);
    body.out(z);
    FixedLayouts fixed;
    for (int i = 0; i < static_cast<int>(body.values.size()); ++i)
      if (dice.chance(25)) fixed.inputs[i] = dice.layout(body.values[static_cast<std::size_t>(i)].shape());
    taken += compare(body, fixed, epilogue_tolerance(type)).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

struct ConvolutionCase {
  Shape x, w;
  ConvWindow window;
};

ConvolutionCase convolution(Dice& dice) {
  ConvolutionCase c;
  const int spatial = dice.chance(70) ? 2 : dice.chance(50) ? 1 : 3;
  c.window.groups = dice.pick<std::int64_t>({1, 1, 1, 2, 4});
  const bool depthwise = dice.chance(15);
  if (depthwise) c.window.groups = dice.pick<std::int64_t>({8, 16, 24});
  const std::int64_t in = depthwise ? 1 : dice.pick<std::int64_t>({1, 3, 8, 16});
  const std::int64_t out = depthwise ? dice.pick<std::int64_t>({1, 1, 2}) : dice.pick<std::int64_t>({1, 4, 8, 16, 20});
  Dims x{dice.roll(1, 3), in * c.window.groups}, w{out * c.window.groups, in};
  for (int i = 0; i < spatial; ++i) {
    const std::int64_t taps = dice.roll(1, 3), dilation = dice.chance(75) ? 1 : 2;
    c.window.strides.push_back(dice.chance(65) ? 1 : dice.roll(2, 3));
    c.window.pads_low.push_back(dice.roll(0, 2));
    c.window.pads_high.push_back(dice.roll(0, 2));
    c.window.dilations.push_back(dilation);
    w.push_back(taps);
    x.push_back(dice.roll((taps - 1) * dilation + 1, 11));
  }
  c.x = Shape(x), c.w = Shape(w);
  return c;
}

TEST(CpuDifferential, ConvolutionsWithEpilogues) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    Body body;
    const DType type = dice.pick({DType::f32, DType::f32, DType::f32, DType::f32, DType::bf16, DType::f64});
    const ConvolutionCase c = convolution(dice);
    const ValueId x = body.in(dice.values(type, c.x)), w = body.in(dice.values(type, c.w));
    body.out(with_epilogue(dice, body, body.b.conv(x, w, c.window), 1));
    FixedLayouts fixed;
    if (dice.chance(50)) fixed.inputs[0] = dice.layout(c.x);
    if (dice.chance(10)) fixed.inputs[1] = dice.layout(c.w);
    for (int i = 2; i < static_cast<int>(body.values.size()); ++i)
      if (dice.chance(8)) fixed.inputs[i] = dice.layout(body.values[static_cast<std::size_t>(i)].shape());
    if (dice.chance(15)) fixed.outputs[0] = dice.layout(body.b.shape(body.b.graph().outputs()[0].value));
    taken += compare(body, fixed, epilogue_tolerance(type)).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

TEST(CpuDifferential, GradientsOfConvolutions) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const DType type = dice.pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f64});
    const ConvolutionCase c = convolution(dice);
    GraphBuilder forward;
    const ValueId y = forward.conv(forward.input("x", InputRole::feed, {type, c.x}),
                                   forward.input("w", InputRole::feed, {type, c.w}), c.window);
    Attributes a = forward.graph().producer(y)->attributes;
    Body body;
    if (dice.chance(50)) {
      a.set("input_shape", c.x.extents());
      const ValueId dy = body.in(dice.values(type, forward.shape(y))), w = body.in(dice.values(type, c.w));
      body.out(body.b.one(Op::conv_data_grad, {dy, w}, a));
    } else {
      a.set("filter_shape", c.w.extents());
      const ValueId x = body.in(dice.values(type, c.x)), dy = body.in(dice.values(type, forward.shape(y)));
      body.out(body.b.one(Op::conv_filter_grad, {x, dy}, a));
    }
    FixedLayouts fixed;
    for (int i = 0; i < 2; ++i)
      if (dice.chance(40)) fixed.inputs[i] = dice.layout(body.values[static_cast<std::size_t>(i)].shape());
    taken += compare(body, fixed, epilogue_tolerance(type)).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

TEST(CpuDifferential, Windows) {
  int taken = 0;
  for (unsigned seed = 0; seed < kBodies; ++seed) {
    SCOPED_TRACE(seed);
    Dice dice(seed);
    const DType type = dice.pick({DType::f32, DType::f32, DType::bf16, DType::f64, DType::i32});
    const int rank = static_cast<int>(dice.roll(1, 4));
    PoolWindow window;
    Dims extents;
    for (int d = 0; d < rank; ++d) {
      const bool windowed = dice.chance(60);
      const std::int64_t taps = windowed ? dice.roll(1, 3) : 1, dilation = windowed ? dice.roll(1, 2) : 1;
      window.window.push_back(taps);
      window.dilations.push_back(dilation);
      window.strides.push_back(windowed ? dice.roll(1, 3) : 1);
      window.pads_low.push_back(windowed ? dice.roll(0, 2) : 0);
      window.pads_high.push_back(windowed ? dice.roll(0, 2) : 0);
      extents.push_back(dice.roll((taps - 1) * dilation + 1, 18));
    }
    const Shape shape(extents);
    const Op op = dice.pick({Op::reduce_window_max, Op::reduce_window_sum});
    GraphBuilder forward;
    const ValueId y = forward.pool(op, forward.input("x", InputRole::feed, {type, shape}), window);
    Attributes a = forward.graph().producer(y)->attributes;
    Body body;
    if (!is_float(type) || dice.chance(50)) {
      body.out(body.b.pool(op, body.in(dice.values(type, shape)), window));
    } else if (op == Op::reduce_window_max) {
      const ValueId x = body.in(dice.values(type, shape)), dy = body.in(dice.values(type, forward.shape(y)));
      body.out(body.b.one(Op::reduce_window_max_grad, {x, dy}, a));
    } else {
      a.set("input_shape", extents);
      body.out(body.b.one(Op::reduce_window_sum_grad, {body.in(dice.values(type, forward.shape(y)))}, a));
    }
    FixedLayouts fixed;
    if (dice.chance(60)) fixed.inputs[0] = dice.layout(body.values[0].shape());
    taken += compare(body, fixed, kExact).empty() ? 0 : 1;
  }
  EXPECT_GT(taken, static_cast<int>(kBodies / 4));
}

TEST(CpuDifferential, DenormalsAreFlushedOnEveryThreadInTheLibraryToo) {
  Body body;
  const ValueId x = body.in(Tensor::full(DType::f32, Shape{600, 64}, 1e-25));
  const ValueId y = body.in(Tensor::full(DType::f32, Shape{64, 500}, 1e-15));
  body.out(body.b.matmul(x, y));
  const auto device = make_cpu_device({3, CpuIsa::automatic, true});
  const Tensor got = run_body(*device, body.b.graph(), body.values)[0];
  for (const float v : got.values<float>()) ASSERT_EQ(v, 0.0f);
}

}  // namespace
}  // namespace weft
