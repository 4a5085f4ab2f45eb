// The operator table is complete.
#include "graph/ir/op_rules.hpp"

#include <gtest/gtest.h>

namespace weft {
namespace {

TEST(OperatorTable, HasATypeRuleForEveryOperator) {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    EXPECT_EQ(rules_of(op).op, op) << name_of(op);
    EXPECT_NE(rules_of(op).infer, nullptr) << name_of(op);
  }
}

}  // namespace
}  // namespace weft
