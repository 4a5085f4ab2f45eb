// The interpreter is the oracle.
#include "tests/kernels/cpu/check_body.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "graph/ir/interpret.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft::testing {
namespace {

bool agree(const Tensor& got, const Tensor& want, std::int64_t i, double tolerance) {
  const std::size_t size = size_of(got.dtype()), at = static_cast<std::size_t>(i) * size;
  if (std::memcmp(got.data() + at, want.data() + at, size) == 0) return true;
  if (!is_float(want.dtype())) return false;
  const double g = got.as_double(i), w = want.as_double(i);
  if (std::isnan(w) || std::isnan(g)) return std::isnan(w) && std::isnan(g);
  return tolerance > 0 && (g == w || std::abs(g - w) <= tolerance * std::max(1.0, std::abs(w)));
}

}  // namespace

Tensor random_tensor(DType type, const Shape& shape, unsigned seed, double low, double high) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> value(low, high);
  Tensor t(DType::f64, shape);
  for (double& x : t.mutable_values<double>()) x = value(engine);
  return t.cast(type);
}

void expect_close(const Tensor& got, const Tensor& want, double tolerance, const std::string& what) {
  ASSERT_EQ(got.dtype(), want.dtype()) << what;
  ASSERT_EQ(got.shape(), want.shape()) << what;
  for (std::int64_t i = 0; i < got.elements(); ++i)
    ASSERT_TRUE(agree(got, want, i, tolerance))
        << what << "element " << i << " is " << got.as_double(i) << ", not " << want.as_double(i);
}

double tolerance_of(DType type) {
  switch (type) {
    case DType::f64: return 1e-12;
    case DType::f32: return 4e-6;
    case DType::f16: return 2e-3;
    case DType::bf16: return 1.6e-2;
    default: return 0;
  }
}

std::string check(Body body, double tolerance, const CpuOptions& options, const FixedLayouts& fixed) {
  Graph g = std::move(body.b).take();
  std::map<std::string, Tensor> inputs;
  for (std::size_t i = 0; i < body.values.size(); ++i) inputs["x" + std::to_string(i)] = body.values[i];
  const auto want = interpret(g, inputs);
  for (const auto& [i, layout] : fixed.inputs) g.value(g.inputs()[static_cast<std::size_t>(i)].value).layout = layout;
  for (const auto& [o, layout] : fixed.outputs) g.value(g.outputs()[static_cast<std::size_t>(o)].value).layout = layout;
  const auto device = make_cpu_device(options);
  std::string implementation;
  const auto got = run_body(*device, g, body.values, &implementation);
  for (std::size_t o = 0; o < got.size(); ++o)
    expect_close(got[o], want.at("y" + std::to_string(o)), tolerance, implementation + "\n" + g.str());
  const auto again = run_body(*device, g, body.values);
  for (std::size_t o = 0; o < got.size(); ++o) EXPECT_TRUE(got[o].identical(again[o])) << "second run differs";
  return implementation;
}

}  // namespace weft::testing
