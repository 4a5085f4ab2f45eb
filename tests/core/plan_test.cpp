// Plans are read back as they were written.
#include "weft/plan.hpp"

#include <gtest/gtest.h>

#include "weft/error.hpp"

namespace weft {
namespace {

Plan some_plan() {
  Plan plan;
  plan.mesh = {{{"data", 2}, {"tensor", 3}}};
  plan.global_batch = 96;
  plan.micro_batches = 4;
  plan.compute = DType::bf16;
  plan.deterministic = true;
  return plan;
}

TEST(Plan, IsReadBackWithItsCuts) {
  Plan plan = some_plan();
  plan.cuts = {{"a/b", "tensor", 0, 1}, {"odd \"name\"", "tensor", 1, 3}, {"whole", "tensor", StateCut::kWhole, 1}};
  EXPECT_EQ(Plan::parse(plan.json()), plan);
}

TEST(Plan, CutsKeepTheirOrder) {
  Plan plan = some_plan();
  plan.cuts = {{"z", "tensor", 0, 1}, {"z", "expert", 1, 1}, {"a", "tensor", 0, 1}};
  EXPECT_EQ(Plan::parse(plan.json()), plan);
}

TEST(Plan, OfAnEarlierVersionHasNoCuts) {
  const Plan plan = some_plan();
  EXPECT_EQ(plan.json().find("cuts"), std::string::npos);
  EXPECT_EQ(Plan::parse(plan.json()), plan);
}

TEST(Plan, WithCutsOfAnotherFormIsRefused) {
  std::string text = some_plan().json();
  text.insert(text.rfind('\n'), R"(, "cuts": {"w": {"tensor": "half"}})");
  EXPECT_THROW(Plan::parse(text), UserError);
}

}  // namespace
}  // namespace weft
