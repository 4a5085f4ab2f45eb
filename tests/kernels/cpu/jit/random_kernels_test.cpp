// Random kernels: machine code against the interpreter of the loop IR.
#include <gtest/gtest.h>

#include "jit_testing.hpp"
#include "tests/kernels/interpreter/interpreter.hpp"
#include "tests/kernels/interpreter/random_kernels.hpp"

namespace weft::cpu::testing {
namespace {

using Memory = std::vector<std::vector<std::byte>>;

std::vector<std::byte*> addresses_of(Memory& memory) {
  std::vector<std::byte*> addresses;
  for (auto& bytes : memory) addresses.push_back(bytes.data());
  return addresses;
}

class RandomKernels : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(RandomKernels, GiveWhatTheInterpreterGives) {
  KernelCompiler compiler(GetParam());
  std::vector<unsigned> seeds{91, 310, 353};  // found faults
  for (unsigned seed = 1; seed <= 20; ++seed) seeds.push_back(seed);
  for (const unsigned seed : seeds) {
    const auto made = loops::testing::random_kernel(seed);
    Memory expected = made.arguments, actual = made.arguments;
    loops::testing::interpret(made.kernel, addresses_of(expected), {compiler.target().fma});
    run_kernel(*compiler.compile(made.kernel), made.kernel, addresses_of(actual));
    for (std::size_t a = 0; a < expected.size(); ++a) {
      const DType type = made.types[a];
      const std::size_t count = expected[a].size() / size_of(type);
      const auto at = first_difference(type, expected[a].data(), actual[a].data(), count);
      if (at < 0) continue;
      const auto offset = static_cast<std::size_t>(at) * size_of(type);
      FAIL() << "seed " << seed << ", argument " << a << " at " << at << ": " << show(type, actual[a].data() + offset)
             << " instead of " << show(type, expected[a].data() + offset) << "\n"
             << made.kernel.str();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(On, RandomKernels, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace weft::cpu::testing
