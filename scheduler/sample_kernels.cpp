// Bodies of the sample kernels.
#include "scheduler/sample_kernels.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "graph/ir/builder.hpp"

namespace weft {
namespace {

struct Gemm {
  std::int64_t m, n, k;
  bool quick;
};
// Batches of samples through dense layers, and squares up to what saturates a node.
constexpr Gemm kGemms[] = {{16, 16, 16, true},     {64, 10, 84, false},     {64, 120, 400, true},
                           {64, 512, 512, false},  {128, 1024, 784, true},  {256, 256, 256, false},
                           {512, 512, 512, true},  {32, 1000, 2048, false}, {1024, 1024, 1024, true},
                           {1760, 64, 1760, false}};

struct Conv {
  std::int64_t n, c, h, o, k, stride, pad;
  bool quick;
};
// LeNet's, and one of each stage of ResNet.
constexpr Conv kConvs[] = {{16, 1, 28, 6, 5, 1, 2, true},     {64, 6, 14, 16, 5, 1, 0, true},
                           {8, 3, 112, 32, 3, 2, 1, false},   {8, 64, 56, 64, 3, 1, 1, true},
                           {8, 128, 28, 128, 3, 1, 1, false}, {8, 256, 14, 256, 3, 1, 1, true},
                           {8, 512, 7, 512, 3, 1, 1, false},  {8, 256, 28, 512, 1, 2, 0, false}};

SampleKernel matmul(const Gemm& g) {
  GraphBuilder b;
  const auto x = b.input("x", InputRole::feed, {DType::f32, {g.m, g.k}});
  const auto w = b.input("w", InputRole::feed, {DType::f32, {g.k, g.n}});
  b.output("y", OutputRole::fetch, b.matmul(x, w));
  return {fmt::format("matmul {}x{}x{}", g.m, g.n, g.k), std::move(b).take()};
}

ConvWindow window_of(const Conv& c) { return {{c.stride, c.stride}, {c.pad, c.pad}, {c.pad, c.pad}, {1, 1}, 1}; }

Attributes attributes_of(const ConvWindow& w) {
  return {{"strides", w.strides},
          {"pads_low", w.pads_low},
          {"pads_high", w.pads_high},
          {"dilations", w.dilations},
          {"groups", w.groups}};
}

void add_convolutions(std::vector<SampleKernel>& kernels, const Conv& c) {
  const auto window = window_of(c);
  const auto out = (c.h + 2 * c.pad - c.k) / c.stride + 1;
  const TensorType x{DType::f32, {c.n, c.c, c.h, c.h}}, w{DType::f32, {c.o, c.c, c.k, c.k}},
      y{DType::f32, {c.n, c.o, out, out}};
  const auto name = fmt::format("{}x{}x{}x{} by {} {}x{}/{}", c.n, c.c, c.h, c.h, c.o, c.k, c.k, c.stride);
  {
    GraphBuilder b;
    const auto input = b.input("x", InputRole::feed, x), filter = b.input("w", InputRole::feed, w);
    b.output("y", OutputRole::fetch, b.conv(input, filter, window));
    kernels.push_back({"convolution " + name, std::move(b).take()});
  }
  {
    GraphBuilder b;
    const auto dy = b.input("dy", InputRole::feed, y), filter = b.input("w", InputRole::feed, w);
    auto attributes = attributes_of(window);
    attributes.set("input_shape", x.shape.extents());
    b.output("dx", OutputRole::fetch, b.one(Op::conv_data_grad, {dy, filter}, attributes));
    kernels.push_back({"convolution, data gradient " + name, std::move(b).take()});
  }
  GraphBuilder b;
  const auto input = b.input("x", InputRole::feed, x), dy = b.input("dy", InputRole::feed, y);
  auto attributes = attributes_of(window);
  attributes.set("filter_shape", w.shape.extents());
  b.output("dw", OutputRole::fetch, b.one(Op::conv_filter_grad, {input, dy}, attributes));
  kernels.push_back({"convolution, filter gradient " + name, std::move(b).take()});
}

/// One elementwise or reducing body over an activation of `channels` x `extent` x `extent`, 16 samples.
template <class Make>
SampleKernel activation_kernel(std::string_view name, std::int64_t channels, std::int64_t extent, Make make) {
  GraphBuilder b;
  const auto x = b.input("x", InputRole::feed, {DType::f32, {16, channels, extent, extent}});
  b.output("y", OutputRole::fetch, make(b, x));
  return {fmt::format("{} 16x{}x{}x{}", name, channels, extent, extent), std::move(b).take()};
}

void add_memory_bound(std::vector<SampleKernel>& kernels, std::int64_t channels, std::int64_t extent) {
  const auto add = [&](std::string_view name, auto make) {
    kernels.push_back(activation_kernel(name, channels, extent, make));
  };
  add("relu", [](GraphBuilder& b, ValueId x) { return b.binary(Op::maximum, x, b.like(x, 0)); });
  add("sigmoid", [](GraphBuilder& b, ValueId x) {
    return b.unary(Op::reciprocal, b.add(b.unary(Op::exp, b.unary(Op::neg, x)), b.like(x, 1)));
  });
  add("channel sums", [](GraphBuilder& b, ValueId x) { return b.reduce(Op::reduce_sum, x, {0, 2, 3}); });
  add("row sums", [](GraphBuilder& b, ValueId x) { return b.reduce(Op::reduce_sum, x, {3}); });
  add("max pool", [](GraphBuilder& b, ValueId x) {
    return b.pool(Op::reduce_window_max, x, {{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  });
}

}  // namespace

std::vector<SampleKernel> sample_kernels(bool quick) {
  std::vector<SampleKernel> kernels;
  for (const auto& gemm : kGemms)
    if (gemm.quick || !quick) kernels.push_back(matmul(gemm));
  for (const auto& conv : kConvs)
    if (conv.quick || !quick) add_convolutions(kernels, conv);
  if (!quick) add_memory_bound(kernels, 6, 28);
  add_memory_bound(kernels, 64, 28);
  if (!quick) add_memory_bound(kernels, 64, 112);
  return kernels;
}

SampleKernel triad(double bytes) {
  const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes / (3 * sizeof(float))));
  GraphBuilder graph;
  const auto b = graph.input("b", InputRole::feed, {DType::f32, {count}});
  const auto c = graph.input("c", InputRole::feed, {DType::f32, {count}});
  graph.output("a", OutputRole::fetch, graph.add(b, graph.mul(c, graph.like(c, 3))));
  return {fmt::format("triad {} bytes", 3 * count * 4), std::move(graph).take()};
}

SampleKernel empty_kernel() {
  GraphBuilder b;
  const auto x = b.input("x", InputRole::feed, {DType::f32, {1}});
  b.output("y", OutputRole::fetch, b.unary(Op::neg, x));
  return {"empty", std::move(b).take()};
}

SampleKernel square_matmul(std::int64_t n) { return matmul({n, n, n, true}); }

}  // namespace weft
