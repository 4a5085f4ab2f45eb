// Every operator that lowering may hand to the CPU is computed by it, on every element type that the operator's rules
// admit, and agrees with the host interpreter.
#include <gtest/gtest.h>

#include "graph/ir/op_rules.hpp"
#include "tests/kernels/cpu/coverage_cases.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Why no kernel computes an operator; "" when one must.
std::string not_a_kernel(Op op) {
  if (op == Op::after) return "an order of kernels";
  switch (class_of(op)) {
    case OpClass::control: return "control flow is instructions around kernels";
    case OpClass::collective: return "collectives are instructions of the communication lane";
    case OpClass::composite: return is_pointwise(op) ? "" : "decomposed before kernels are asked for";
    default: return "";
  }
}

class CpuCoverage : public ::testing::TestWithParam<int> {};

TEST_P(CpuCoverage, TakesTheOperatorOnEveryTypeAndAgreesWithTheInterpreter) {
  const Op op = static_cast<Op>(GetParam());
  std::size_t cases = 0;
  for (int t = 0; t < kDTypeCount; ++t) {
    const auto type = static_cast<DType>(t);
    SCOPED_TRACE(std::string(name_of(op)) + " of " + std::string(name_of(type)));
    for (testing::CoverageCase& c : testing::coverage_cases(op, type)) {
      ++cases;
      try {
        testing::check(std::move(c.body), c.tolerance);
      } catch (const Error& error) {
        ADD_FAILURE() << error.what();
      }
    }
  }
  const std::string reason = not_a_kernel(op);
  EXPECT_EQ(cases > 0, reason.empty()) << reason;
  if (class_of(op) == OpClass::composite) {
    EXPECT_NE(rules_of(op).decompose, nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Operators, CpuCoverage, ::testing::Range(0, kOpCount),
                         [](const auto& op) { return std::string(name_of(static_cast<Op>(op.param))); });

}  // namespace
}  // namespace weft
