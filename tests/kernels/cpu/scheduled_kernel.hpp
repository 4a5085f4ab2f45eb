// A generated kernel for tests of its schedules, and what compiles it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "kernels/cpu/cpu_device.hpp"
#include "kernels/cpu/implementation.hpp"
#include "kernels/cpu/jit/kernel_compiler.hpp"

namespace weft::cpu::testing {

/// Two threads; code is kept in `cache` where it is named.
inline Context context_of(CpuIsa isa, const std::filesystem::path& cache = {}) {
  Context context;
  context.isa = isa;
  context.threads = 2;
  context.compiler = std::make_shared<KernelCompiler>(isa, CodeCacheOptions{.folder = cache});
  return context;
}

/// What the device offers for `body`, which must be a generated kernel.
inline KernelSpec spec_of(const Graph& body, CpuIsa isa) {
  const auto device = make_cpu_device({.threads = 2, .isa = isa});
  const KernelAnswer answer = device->oracle().ask(body);
  EXPECT_TRUE(answer.offer) << body.str();
  EXPECT_EQ(answer.offer->spec.implementation, "generated");
  return answer.offer->spec;
}

}  // namespace weft::cpu::testing
