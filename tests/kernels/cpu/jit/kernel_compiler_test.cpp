// Compiling with the cache, and several kernels side by side.
#include "kernels/cpu/jit/kernel_compiler.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "jit_testing.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/error.hpp"

namespace weft::cpu::testing {
namespace {

using weft::testing::TemporaryFolder;

/// y = 3 x + n
loops::Kernel multiply_add(int n) {
  loops::Kernel kernel;
  loops::Builder b(kernel);
  const auto in = kernel.add_buffer({DType::f32, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
  const auto i = kernel.add_index(), v = kernel.add_index();
  const auto y = b.add(b.mul(b.load(in, b.index(v)), b.real(3)), b.real(n));
  kernel.phases.push_back(
      {i, 1, 0, {loops::loop_of(loops::LoopKind::vector, v, b.integer(20), {loops::store(out, b.index(v), y)}, 16)}});
  return kernel;
}

float run(KernelCompiler& compiler, int n) {
  std::vector<float> x(20, 2), y(20);
  const loops::Kernel kernel = multiply_add(n);
  run_kernel(*compiler.compile(kernel), kernel, {bytes_of(x), bytes_of(y)});
  return y[19];
}

TEST(CachedKernels, AreNotGeneratedAgain) {
  const TemporaryFolder folder;
  const CodeCacheOptions options{folder.path() / "cache"};
  for (const CpuIsa isa : instruction_sets()) {
    KernelCompiler cold(isa, options);
    for (int n = 0; n < 3; ++n) EXPECT_EQ(run(cold, n), 6 + static_cast<float>(n));
    EXPECT_EQ(cold.counts().generated, 3) << name_of(isa);  // also: code of one instruction set is not another's
    KernelCompiler warm(isa, options);
    for (int n = 2; n >= 0; --n) EXPECT_EQ(run(warm, n), 6 + static_cast<float>(n));
    EXPECT_EQ(warm.counts().generated, 0);
    EXPECT_EQ(warm.counts().found, 3);
  }
}

TEST(CachedKernels, ThatAreNoObjectCodeAreGeneratedAgain) {
  const TemporaryFolder folder;
  const CodeCacheOptions options{folder.path() / "cache"};
  KernelCompiler first(CpuIsa::automatic, options);
  EXPECT_EQ(run(first, 1), 7);
  const std::filesystem::path file = std::filesystem::directory_iterator(options.folder)->path();
  std::ifstream stream(file, std::ios::binary);
  const std::string entry{std::istreambuf_iterator<char>(stream), {}};
  const std::size_t object = entry.find(
      "\x7f"
      "ELF");
  ASSERT_NE(object, std::string::npos);
  const std::string key = entry.substr(32, object - 32);
  CodeCache(options).store(key, "whole, but no ELF object");
  KernelCompiler second(CpuIsa::automatic, options);
  EXPECT_EQ(run(second, 1), 7);
  EXPECT_EQ(second.counts().generated, 1);
  KernelCompiler third(CpuIsa::automatic, options);
  EXPECT_EQ(run(third, 1), 7);
  EXPECT_EQ(third.counts().found, 1);
}

TEST(CompilingSideBySide, GivesEveryKernelItsCode) {
  const TemporaryFolder folder;
  std::vector<loops::Kernel> kernels;
  std::vector<const loops::Kernel*> pointers;
  for (int n = 0; n < 40; ++n) kernels.push_back(multiply_add(n % 25));
  for (const loops::Kernel& kernel : kernels) pointers.push_back(&kernel);
  for (const bool warm : {false, true}) {
    KernelCompiler compiler(CpuIsa::automatic, {folder.path() / "cache"});
    const auto codes = compiler.compile_all(pointers, 4);
    ASSERT_EQ(codes.size(), kernels.size());
    for (std::size_t n = 0; n < codes.size(); ++n) {
      std::vector<float> x(20, 2), y(20);
      run_kernel(*codes[n], kernels[n], {bytes_of(x), bytes_of(y)});
      EXPECT_EQ(y[19], 6 + static_cast<float>(n % 25));
    }
    EXPECT_EQ(compiler.counts().generated + compiler.counts().found, 40);
    EXPECT_EQ(compiler.counts().found == 40, warm);
  }
}

TEST(CompilingSideBySide, ThrowsWhatOneOfThemThrows) {
  KernelCompiler compiler;
  loops::Kernel wrong = multiply_add(1);
  wrong.phases[0].body[0].slot = 0;  // the phase's own variable
  const loops::Kernel right = multiply_add(1);
  const std::vector<const loops::Kernel*> kernels{&right, &wrong, &right, &wrong, &right};
  EXPECT_THROW(compiler.compile_all(kernels, 3), InternalError);
  EXPECT_TRUE(compiler.compile_all({}, 3).empty());
}

}  // namespace
}  // namespace weft::cpu::testing
