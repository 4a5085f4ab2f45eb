// The nearest right word.
#include "src/settings/nearest.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace weft {
namespace {

const std::vector<std::string> kVerbs{"train", "eval", "export", "inspect", "predict", "plan"};

TEST(Nearest, FindsOneMissingExtraWrongOrSwappedLetter) {
  EXPECT_EQ(nearest("trian", kVerbs), "train");
  EXPECT_EQ(nearest("tran", kVerbs), "train");
  EXPECT_EQ(nearest("traain", kVerbs), "train");
  EXPECT_EQ(nearest("Train", kVerbs), "train");
  EXPECT_EQ(nearest("inpsect", kVerbs), "inspect");
}

TEST(Nearest, FindsNothingForWordsUnlikeAny) {
  EXPECT_EQ(nearest("zebra", kVerbs), std::nullopt);
  EXPECT_EQ(nearest("", kVerbs), std::nullopt);
  EXPECT_EQ(nearest("x", kVerbs), std::nullopt);
  EXPECT_EQ(nearest(std::string(100'000, 'a'), kVerbs), std::nullopt);
}

TEST(Nearest, WordsTheQuestion) {
  EXPECT_EQ(did_you_mean("exprt", kVerbs), ", did you mean 'export'?");
  EXPECT_EQ(did_you_mean("qqqq", kVerbs), "");
}

}  // namespace
}  // namespace weft
