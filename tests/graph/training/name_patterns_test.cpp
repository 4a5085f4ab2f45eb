#include "graph/training/name_patterns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "weft/error.hpp"

namespace weft {
namespace {

TEST(NamePatterns, StarMatchesAnyTextIncludingSlashes) {
  EXPECT_TRUE(matches("*.bias", "layer1/0.conv.bias"));
  EXPECT_TRUE(matches("layer?/*", "layer1/conv/weight"));
  EXPECT_FALSE(matches("*.bias", "layer1.bias2"));
  EXPECT_FALSE(matches("layer", "layer1"));
}

TEST(NamePatterns, APatternThatMatchesNothingIsNamedWithItsKeyAndTheModelsNames) {
  try {
    check_patterns_used("freeze", {"a*", "typo*"}, {"abc", "def"});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), ::testing::AllOf(::testing::HasSubstr("freeze"), ::testing::HasSubstr("'typo*'"),
                                           ::testing::HasSubstr("abc, def")));
  }
}

TEST(NamePatterns, ATieEntryIsSplitAtCommasAndTrimmed) {
  EXPECT_EQ(split_patterns(" embed.w ,head.*,, "), (std::vector<std::string>{"embed.w", "head.*"}));
}

}  // namespace
}  // namespace weft
