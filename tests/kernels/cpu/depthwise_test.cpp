// Depthwise convolutions with what stands before and after them in one kernel, against the interpreter.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>

#include "kernels/cpu/cpu_device.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::FixedLayouts;
using testing::random_tensor;

Layout last(const Shape& shape) { return Layout::permuted(shape, {0, 2, 3, 1}); }
Layout row(const Shape& shape) { return Layout::dense(shape); }
Layout in_sixteens(const Shape& shape) { return Layout::blocked(shape, {{1, 16}}); }
Layout in_eights(const Shape& shape) { return Layout::blocked(shape, {{1, 8}}); }
using LayoutOf = Layout (*)(const Shape&);

struct Case {
  Shape x, w;
  ConvWindow window;
  DType type = DType::f32;
  LayoutOf layout = nullptr;  ///< null: the device's choice
  CpuOptions options{2, CpuIsa::automatic, true};
  bool guarded = false;  ///< runs between pages that nobody may touch, too
};

/// Normalised and clipped to [0, 2], as `type`.
ValueId clipped(Body& body, ValueId x, const Shape& shape, DType type) {
  GraphBuilder& b = body.b;
  const Shape channels{shape[1]};
  const auto along = [&](unsigned seed, double low) {
    return b.broadcast_in(body.in(random_tensor(DType::f32, channels, seed, low, 2)), shape, {1});
  };
  const ValueId wide = type == DType::f32 ? x : b.cast(x, DType::f32);
  // No padding equals what is computed of zero.
  const ValueId z = b.add(b.mul(b.sub(wide, along(11, -2)), along(12, 0.5)), along(13, 1));
  const ValueId most =
      b.binary(Op::minimum, b.binary(Op::maximum, z, b.full(DType::f32, shape, 0)), b.full(DType::f32, shape, 2));
  return type == DType::f32 ? most : b.cast(most, type);
}

FixedLayouts fixed(const Body& body, LayoutOf layout, const std::vector<ValueId>& results) {
  FixedLayouts result;
  if (layout == nullptr) return result;
  for (std::size_t i = 0; i < body.values.size(); ++i)
    if (const Shape& s = body.values[i].shape(); s.rank() == 4 && s[1] != 1)
      result.inputs[static_cast<int>(i)] = layout(s);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (const Shape& s = body.b.shape(results[i]); s.rank() == 4 && s[1] != 1)
      result.outputs[static_cast<int>(i)] = layout(s);
  return result;
}

/// Memory that ends, or begins, where a page begins that nobody may touch.
class Guarded {
 public:
  Guarded(std::size_t bytes, bool at_end) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (bytes + page - 1) / page * page;
    size_ = inside + 2 * page;
    all_ = static_cast<std::byte*>(mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_EQ(mprotect(all_ + page, inside, PROT_READ | PROT_WRITE), 0);
    data_ = all_ + page + (at_end ? inside - bytes : 0);
  }
  ~Guarded() { munmap(all_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::size_t size_ = 0;
  std::byte *all_ = nullptr, *data_ = nullptr;
};

/// Runs where a touch of anything but operands, results and scratch would end the process.
void run_guarded(Body& body, const FixedLayouts& layouts) {
  Graph graph = body.b.graph();
  for (const auto& [i, layout] : layouts.inputs)
    graph.value(graph.inputs()[static_cast<std::size_t>(i)].value).layout = layout;
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const KernelAnswer answer = device->oracle().ask(graph);
  ASSERT_TRUE(answer.offer.has_value());
  const KernelSpec& spec = answer.offer->spec;
  const auto kernel = device->compile(spec);
  for (const bool at_end : {false, true}) {
    std::vector<std::unique_ptr<Guarded>> memory;
    std::vector<std::byte*> arguments;
    const auto add = [&](std::int64_t bytes) {
      memory.push_back(std::make_unique<Guarded>(static_cast<std::size_t>(bytes), at_end));
      arguments.push_back(memory.back()->data());
    };
    for (const GraphInput& i : spec.body.inputs()) add(spec.body.layout(i.value).bytes(spec.body.type(i.value).dtype));
    for (const GraphOutput& o : spec.body.outputs())
      add(spec.body.layout(o.value).bytes(spec.body.type(o.value).dtype));
    if (spec.scratch_bytes > 0) add(spec.scratch_bytes);
    device->launch(*kernel, arguments, Lane::compute);
    device->synchronize(Lane::compute);
  }
}

std::string run(Body& body, const std::vector<ValueId>& results, double tolerance, const Case& c) {
  const FixedLayouts layouts = fixed(body, c.layout, results);
  for (const ValueId v : results) body.out(v);
  if (c.guarded) run_guarded(body, layouts);
  return check(std::move(body), tolerance, c.options, layouts);
}

/// The convolution of what is computed of x, its residual sum, and its moments.
std::string forward(const Case& c) {
  Body body;
  const ValueId x = body.in(random_tensor(c.type, c.x, 1));
  const ValueId w = body.in(random_tensor(c.type, c.w, 2));
  const ValueId y = body.b.conv(clipped(body, x, c.x, c.type), w, c.window);
  const ValueId wide = c.type == DType::f32 ? y : body.b.cast(y, DType::f32);
  const ValueId sum = body.b.add(wide, body.in(random_tensor(DType::f32, body.b.shape(y), 3)));
  std::vector<ValueId> results = body.b.node(Op::moments, {wide}, {{"dims", Dims{0, 2, 3}}});
  results.insert(results.begin(), {y, sum});
  return run(body, results, c.type == DType::f32 ? 2e-5 : 2e-2, c);
}

/// Both gradients, of a result's gradient that is computed; and sums of what is made of the gradient to the input.
std::string backward(const Case& c, bool to_input = true, bool to_filter = true) {
  Body shapes;
  const ValueId shown = shapes.b.conv(shapes.in(random_tensor(DType::f32, c.x, 1)),
                                      shapes.in(random_tensor(DType::f32, c.w, 2)), c.window);
  Attributes data = shapes.b.graph().producer(shown)->attributes, filter = data;
  data.set("input_shape", c.x.extents());
  filter.set("filter_shape", c.w.extents());
  Body body;
  GraphBuilder& b = body.b;
  const ValueId given = body.in(random_tensor(c.type, shapes.b.shape(shown), 3, 0, 1));
  const ValueId dy = clipped(body, given, shapes.b.shape(shown), c.type);
  const ValueId x = body.in(random_tensor(c.type, c.x, 4));
  const ValueId z = clipped(body, x, c.x, c.type);
  std::vector<ValueId> results;
  if (to_input) {
    const ValueId w = body.in(random_tensor(c.type, c.w, 5));
    const ValueId dz = b.one(Op::conv_data_grad, {dy, w}, data);
    const ValueId wide = c.type == DType::f32 ? dz : b.cast(dz, DType::f32);
    const ValueId base = c.type == DType::f32 ? z : b.cast(z, DType::f32);
    const ValueId zero = b.full(DType::f32, c.x, 0);
    const ValueId masked = b.select(b.binary(Op::greater, base, zero), wide, zero);
    results = {dz, b.reduce(Op::reduce_sum, masked, {0, 2, 3}),
               b.reduce(Op::reduce_sum, b.mul(masked, base), {0, 2, 3})};
  }
  if (to_filter) results.push_back(b.one(Op::conv_filter_grad, {z, dy}, filter));
  return run(body, results, c.type == DType::f32 ? 1e-4 : 3e-2, c);
}

Case one(std::int64_t samples, std::int64_t channels, std::int64_t extent, std::int64_t window, std::int64_t stride) {
  return {{samples, channels, extent, extent + 1},
          {channels, 1, window, window},
          {{stride, stride}, {window / 2, window / 2}, {window / 2, window / 2}, {1, 1}, channels}};
}

TEST(CpuDepthwise, ForwardAndBackwardAgreeInEveryLayoutAndIsa) {
  for (const LayoutOf layout : {LayoutOf{nullptr}, in_sixteens, in_eights, last, row})
    for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
      for (const std::int64_t stride : {1, 2}) {
        Case c = one(2, 32, 13, 3, stride);
        c.layout = layout;
        c.options.isa = isa;
        EXPECT_EQ(forward(c), "generated");
        EXPECT_EQ(backward(c), "generated");
      }
}

TEST(CpuDepthwise, ChannelsThatAreNoMultipleOfABlockAgree) {
  for (const std::int64_t channels : {2, 5, 17, 24, 40})
    for (const LayoutOf layout : {LayoutOf{nullptr}, last, row}) {
      Case c = one(1, channels, 6, 3, 2);
      c.layout = layout;
      EXPECT_EQ(forward(c), "generated");
      EXPECT_EQ(backward(c), "generated");
    }
}

TEST(CpuDepthwise, NarrowTypesAgree) {
  for (const DType type : {DType::bf16, DType::f16})
    for (const std::int64_t stride : {1, 2}) {
      Case c = one(2, 32, 9, 3, stride);
      c.type = type;
      EXPECT_EQ(forward(c), "generated");
      EXPECT_EQ(backward(c), "generated");
    }
}

TEST(CpuDepthwise, EitherGradientMayBeComputedAlone) {
  for (const std::int64_t stride : {1, 2, 3}) {
    EXPECT_EQ(backward(one(2, 16, 10, 3, stride), true, false), "generated");
    EXPECT_EQ(backward(one(2, 16, 10, 3, stride), false, true), "generated");
  }
}

// Windows larger than their operand, windows that leave elements out, and margins on one side only.
TEST(CpuDepthwise, AnyWindowAgrees) {
  std::mt19937 engine(7);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
  };
  for (int i = 0; i < 40; ++i) {
    const std::int64_t channels = i % 3 ? 16 * draw(1, 2) : draw(2, 20);
    Dims x{draw(1, 3), channels}, w{channels, 1};
    Case c;
    c.window.groups = channels;
    for (int d = 0; d < 2; ++d) {
      c.window.strides.push_back(draw(1, 4));
      c.window.dilations.push_back(draw(1, 3));
      c.window.pads_low.push_back(draw(0, 4));
      c.window.pads_high.push_back(draw(0, 4));
      w.push_back(draw(1, 5));
      const std::int64_t reach = (w.back() - 1) * c.window.dilations.back() + 1;
      const std::int64_t least =
          std::max<std::int64_t>(1, reach - c.window.pads_low.back() - c.window.pads_high.back());
      x.push_back(least + draw(0, 12));
    }
    c.x = Shape(x);
    c.w = Shape(w);
    c.layout = i % 2 ? nullptr : last;
    c.options.threads = i % 3 + 1;
    SCOPED_TRACE(c.x.str() + c.w.str());
    EXPECT_EQ(forward(c), "generated");
    EXPECT_EQ(backward(c), "generated");
  }
}

TEST(CpuDepthwise, NothingOutsideOfOperandsResultsAndScratchIsTouched) {
  for (const LayoutOf layout : {in_sixteens, last, row})
    for (const std::int64_t channels : {16, 21, 48})
      for (const std::int64_t stride : {1, 2, 3}) {
        if (layout == in_sixteens && channels % 16 != 0) continue;
        Case c = one(2, channels, 7, 3, stride);
        c.layout = layout;
        c.guarded = true;
        forward(c);
        backward(c);
      }
}

TEST(CpuDepthwise, MomentsKeepTheirDigitsWhereTheMeanDwarfsTheSpread) {
  const Shape shape{4, 16, 20, 20}, filter{16, 1, 1, 1};
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, shape, 1, 9999, 10001));
  const ValueId w = body.in(random_tensor(DType::f32, filter, 2, 1, 1));
  const ValueId y = body.b.conv(body.b.add(x, x), w, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 16});
  for (const ValueId v : body.b.node(Op::moments, {y}, {{"dims", Dims{0, 2, 3}}})) body.out(v);
  EXPECT_EQ(check(std::move(body), 1e-5), "generated");
}

TEST(CpuDepthwise, ResultsAreTheSameAtAnyNumberOfThreads) {
  Body bodies[3];
  for (Body& body : bodies) {
    const ValueId x = body.in(random_tensor(DType::f32, {3, 24, 21, 19}, 1));
    const ValueId w = body.in(random_tensor(DType::f32, {24, 1, 3, 3}, 2));
    const ValueId y =
        body.b.conv(clipped(body, x, {3, 24, 21, 19}, DType::f32), w, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 24});
    body.out(y);
    for (const ValueId v : body.b.node(Op::moments, {y}, {{"dims", Dims{0, 2, 3}}})) body.out(v);
  }
  std::vector<std::vector<Tensor>> got;
  for (int i = 0; i < 3; ++i) {
    const auto device = make_cpu_device({i == 0 ? 1 : 2 * i, CpuIsa::automatic, true});
    got.push_back(testing::run_body(*device, bodies[i].b.graph(), bodies[i].values));
  }
  for (int i = 1; i < 3; ++i)
    for (std::size_t o = 0; o < got[0].size(); ++o)
      EXPECT_TRUE(got[0][o].identical(got[static_cast<std::size_t>(i)][o]));
}

}  // namespace
}  // namespace weft
