// One kernel over many operands of different lengths, against the interpreter.
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_device.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;

/// m = 0.9 m + g, w = w - lr m; results are m and w.
void add_update(Body& body, DType type, const Shape& shape, unsigned seed) {
  GraphBuilder& b = body.b;
  const ValueId w = body.in(random_tensor(type, shape, seed)), m = body.in(random_tensor(type, shape, seed + 1));
  const ValueId g = body.in(random_tensor(type, shape, seed + 2)), lr = body.in(random_tensor(type, Shape{}, 1));
  const ValueId moment = b.add(b.mul(m, b.like(m, 0.9)), g);
  body.out(moment);
  body.out(b.sub(w, b.mul(b.one(Op::broadcast, {lr}, {{"shape", shape.extents()}, {"dims", Dims{}}}), moment)));
}

TEST(Segments, OfAllLengthsAndRanksShareAKernel) {
  const Shape shapes[] = {{2}, {3, 5}, {4096}, {4097}, {64, 3, 3, 3}, {70001}, {2, 1}};
  for (const DType type : {DType::f32, DType::f64, DType::bf16})
    for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::baseline})
      for (const int threads : {1, 3}) {
        Body body;
        for (const Shape& shape : shapes) add_update(body, type, shape, 7);
        EXPECT_EQ(check(std::move(body), type == DType::bf16 ? 1e-2 : 1e-6, {threads, isa, true}),
                  "generated.segments");
      }
}

TEST(Segments, MayOverwriteTheirOwnOperands) {
  Body body;
  for (const std::int64_t length : {5, 9000, 100}) add_update(body, DType::f32, {length}, 3);
  const auto device = make_cpu_device({.threads = 2});
  const std::vector<Tensor> values = body.values;
  const Graph graph = std::move(body.b).take();
  const auto apart = testing::run_body(*device, graph, values, nullptr, {});
  // By segment: w, m, g, lr; results are m and w.
  const auto over =
      testing::run_body(*device, graph, values, nullptr, {{0, 1}, {1, 0}, {2, 5}, {3, 4}, {4, 9}, {5, 8}});
  ASSERT_EQ(apart.size(), over.size());
  for (std::size_t o = 0; o < apart.size(); ++o)
    for (std::int64_t i = 0; i < apart[o].elements(); ++i) EXPECT_EQ(apart[o].as_double(i), over[o].as_double(i));
}

TEST(Segments, ThatComputeDifferentThingsAreRefused) {
  Body body;
  body.out(body.b.unary(Op::exp, body.in(random_tensor(DType::f32, {50}, 1))));
  body.out(body.b.unary(Op::tanh, body.in(random_tensor(DType::f32, {70}, 1))));
  const auto device = make_cpu_device({});
  const KernelAnswer answer = device->oracle().ask(std::move(body.b).take());
  EXPECT_FALSE(answer.offer.has_value());
  for (const KernelRefusal& r : answer.refusals)
    EXPECT_TRUE(r.implementation != "generated.segments" || r.reason == "segments that compute different things");
}

}  // namespace
}  // namespace weft
