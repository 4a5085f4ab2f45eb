// Sanitizers see into generated code: what they are to find is planted, and found.
#include "kernels/cpu/jit/sanitize.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "jit_testing.hpp"

namespace weft::cpu {
namespace {

using loops::Builder;
using loops::Kernel;
using loops::LoopKind;

constexpr std::int64_t kRows = 2, kColumns = 20;

/// Reads and writes elements of two arguments: row `row` from `row` * `stride` + `first` on.
Kernel rows_of(std::int64_t stride, std::int64_t first, std::int64_t lanes) {
  Kernel kernel;
  Builder b(kernel);
  const auto in = kernel.add_buffer({DType::f32, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
  const auto row = kernel.add_index(), column = kernel.add_index();
  const auto at = b.add(b.add(b.mul(b.index(row), b.integer(stride)), b.index(column)), b.integer(first));
  kernel.phases.push_back({row,
                           kRows,
                           0,
                           {loops::loop_of(LoopKind::vector, column, b.integer(kColumns),
                                           {loops::store(out, at, b.load(in, at))}, static_cast<int>(lanes))}});
  return kernel;
}

std::shared_ptr<const KernelCode> code_of(CpuIsa isa, const Kernel& kernel) {
  return testing::compiler_of(isa).compile(kernel);
}

TEST(WatchedCode, AnElementBeyondAnOperandIsFound) {
  if (watched_by() != "address") GTEST_SKIP() << "built without AddressSanitizer";
  for (const CpuIsa isa : testing::instruction_sets())
    for (const std::int64_t lanes : {1, 4, 16, 32}) {
      std::vector<float> x(kRows * kColumns + 1), y(kRows * kColumns);
      const std::vector<std::byte*> arguments = {testing::bytes_of(x), testing::bytes_of(y)};
      testing::run_kernel(*code_of(isa, rows_of(kColumns, 0, lanes)), rows_of(kColumns, 0, lanes), arguments);
      EXPECT_DEATH(code_of(isa, rows_of(kColumns, 1, lanes))->phases()[0](arguments.data(), 0, kRows),
                   "heap-buffer-overflow");
    }
}

TEST(WatchedCode, TwoThreadsThatWriteOneElementAreFound) {
  if (watched_by() != "thread") GTEST_SKIP() << "built without ThreadSanitizer";
  for (const CpuIsa isa : testing::instruction_sets())
    for (const std::int64_t lanes : {1, 4, 16, 32})
      for (const std::int64_t stride : {kColumns, kColumns - 1}) {
        const auto code = code_of(isa, rows_of(stride, 0, lanes));
        const auto run = [&] {
          std::vector<float> x(kRows * kColumns), y(kRows * kColumns);
          const std::vector<std::byte*> arguments = {testing::bytes_of(x), testing::bytes_of(y)};
          // One after the other, or the sanitizer may miss it, and yet nothing orders them.
          std::atomic<bool> ran = false;
          std::thread other([&] {
            code->phases()[0](arguments.data(), 0, 1);
            ran.store(true, std::memory_order_relaxed);
          });
          while (!ran.load(std::memory_order_relaxed)) std::this_thread::yield();
          code->phases()[0](arguments.data(), 1, 2);
          other.join();
          std::exit(0);  // with the sanitizer's code where it found something
        };
        if (stride == kColumns)
          EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "") << name_of(isa) << ", " << lanes;
        else
          EXPECT_EXIT(run(), ::testing::ExitedWithCode(86), "data race") << name_of(isa) << ", " << lanes;
      }
}

}  // namespace
}  // namespace weft::cpu
