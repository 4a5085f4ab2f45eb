// Small Programs made by hand, whose time can be worked out on paper.
#pragma once

#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "weft/program.hpp"

namespace weft::testing {

/// An elementwise kernel on `count` floats.
inline KernelSpec pointwise_spec(std::int64_t count) {
  GraphBuilder b;
  const auto x = b.input("x", InputRole::feed, {DType::f32, {count}});
  b.output("y", OutputRole::fetch, b.unary(Op::neg, x));
  KernelSpec spec;
  spec.body = std::move(b).take();
  spec.implementation = "loop.pointwise";
  spec.bytes = 8.0 * static_cast<double>(count);
  return spec;
}

inline KernelSpec matmul_spec(std::int64_t n) {
  GraphBuilder b;
  const auto x = b.input("x", InputRole::feed, {DType::f32, {n, n}}),
             y = b.input("y", InputRole::feed, {DType::f32, {n, n}});
  b.output("z", OutputRole::fetch, b.matmul(x, y));
  KernelSpec spec;
  spec.body = std::move(b).take();
  spec.implementation = "onednn.matmul";
  spec.flops = 2.0 * static_cast<double>(n * n * n);
  spec.bytes = 12.0 * static_cast<double>(n * n);
  return spec;
}

/// Adds instructions to a Program; buffers are left out where only time matters.
class ProgramWriter {
 public:
  int kernel(KernelSpec spec, double estimate) {
    program.kernels.push_back(std::move(spec));
    program.kernel_seconds.push_back(estimate);
    Instruction i;
    i.kind = InstructionKind::kernel;
    i.kernel = static_cast<int>(program.kernels.size()) - 1;
    return add(std::move(i));
  }
  int start(std::int64_t count, CollectiveKind kind = CollectiveKind::all_reduce) {
    Instruction i;
    i.kind = InstructionKind::collective_start;
    i.lane = Lane::communication;
    i.collective.kind = kind;
    i.collective.axes = {"data"};
    i.collective.count = count;
    return add(std::move(i));
  }
  int wait(int collective) {
    Instruction i;
    i.kind = InstructionKind::wait;
    i.waits = {collective};
    return add(std::move(i));
  }
  int add(Instruction i) {
    program.instructions.push_back(std::move(i));
    return static_cast<int>(program.instructions.size()) - 1;
  }

  Program program;
};

}  // namespace weft::testing
