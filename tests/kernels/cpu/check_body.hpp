// Kernel bodies made in tests, run on the device and on the host interpreter, and compared.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "weft/tensor.hpp"

namespace weft::testing {

Tensor random_tensor(DType type, const Shape& shape, unsigned seed, double low = -2, double high = 2);

/// A body under construction with the values of its inputs.
struct Body {
  GraphBuilder b;
  std::vector<Tensor> values;
  int outputs = 0;

  ValueId in(Tensor t) {
    const ValueId v = b.input("x" + std::to_string(values.size()), InputRole::feed, {t.dtype(), t.shape()});
    values.push_back(std::move(t));
    return v;
  }
  void out(ValueId v) { b.output("y" + std::to_string(outputs++), OutputRole::fetch, v); }
};

/// `tolerance` is relative, absolute below 1, and for floats only; 0 asks for the same bits. NaN equals NaN.
void expect_close(const Tensor& got, const Tensor& want, double tolerance, const std::string& what);

/// Layouts given to a body's inputs and outputs, by position.
struct FixedLayouts {
  std::map<int, Layout> inputs, outputs;
};

/// What f32 arithmetic and one rounding to `type` may cost; 0 for other than floats.
double tolerance_of(DType type);

/// Runs on the device, twice, and on the interpreter, and compares; returns the implementation that ran.
std::string check(Body body, double tolerance = 2e-6, const CpuOptions& options = {2, CpuIsa::automatic, true},
                  const FixedLayouts& fixed = {});

}  // namespace weft::testing
