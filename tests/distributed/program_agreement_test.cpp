// Four ranks compare what their Programs exchange before the first message.
#include "src/train/program_agreement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/comm/mpi/world.hpp"

namespace weft {
namespace {

using test::world;
using ::testing::AllOf;
using ::testing::HasSubstr;

const Mesh kTwoByTwo{{{"data", 2}, {"tensor", 2}}};

Program program_of(const std::vector<std::pair<std::vector<std::string>, std::int64_t>>& collectives) {
  Program program;
  program.role = "train";
  for (const auto& [axes, count] : collectives) {
    Instruction i;
    i.kind = InstructionKind::collective_start;
    i.name = "sum";
    i.collective.axes = axes;
    i.collective.count = count;
    i.collective.sequence = static_cast<int>(program.instructions.size());
    program.instructions.push_back(std::move(i));
  }
  return program;
}

std::string difference(const Program& mine) { return first_program_difference(world(), kTwoByTwo, {&mine}, {}); }

TEST(ProgramAgreement, SizesMayDifferBetweenGroupsOfAnAxis) {
  const std::int64_t samples = world().rank() < 2 ? 3 : 2;  // ranks 0 and 1 are one tensor group
  EXPECT_EQ(difference(program_of({{{"tensor"}, samples}, {{"data"}, 7}, {{"data", "tensor"}, 1}})), "");
}

TEST(ProgramAgreement, SizesThatDifferInsideAGroupAreNamedWithItsRanks) {
  const std::int64_t elements = world().rank() == 3 ? 5 : 7;
  EXPECT_THAT(difference(program_of({{{"tensor"}, 3}, {{"data"}, elements}})),
              AllOf(HasSubstr("ranks 1 and 3"), HasSubstr("[data]"), HasSubstr("'train'")));
}

TEST(ProgramAgreement, AnotherOrderIsNamed) {
  const bool other = world().rank() == 2;
  EXPECT_THAT(
      difference(other ? program_of({{{"data"}, 1}, {{"tensor"}, 1}}) : program_of({{{"tensor"}, 1}, {{"data"}, 1}})),
      AllOf(HasSubstr("collectives of program 'train'"), HasSubstr("rank 2")));
}

TEST(ProgramAgreement, SizesAmongAllRanksAreCompared) {
  EXPECT_THAT(difference(program_of({{{"data", "tensor"}, world().rank() == 1 ? 2 : 1}})),
              AllOf(HasSubstr("collectives of program 'train'"), HasSubstr("rank 1")));
}

}  // namespace
}  // namespace weft
