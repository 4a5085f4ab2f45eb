// What may name something outside Weft, and what a time limit is.
#include "src/settings/text_checks.hpp"

#include <gtest/gtest.h>

#include <string>

namespace weft {
namespace {

TEST(TextChecks, NamesAreLettersDigitsDotsUnderscoresAndHyphens) {
  for (const char* good : {"a", "run-1", "A.b_c-9", "0"}) EXPECT_TRUE(is_safe_name(good)) << good;
  for (const char* bad : {"", "-x", ".x", "a b", "a\nb", "a;b", "$(x)", "a/b", "a'b", "\xc3\xa4"})
    EXPECT_FALSE(is_safe_name(bad)) << bad;
  EXPECT_TRUE(is_safe_name(std::string(64, 'a')));
  EXPECT_FALSE(is_safe_name(std::string(65, 'a')));
}

TEST(TextChecks, TimeLimitsAreCountedInSeconds) {
  EXPECT_EQ(seconds_of_time_limit("00:00:01"), 1);
  EXPECT_EQ(seconds_of_time_limit("1:02:03"), 3723);
  EXPECT_EQ(seconds_of_time_limit("100:00:00"), 360000);
  EXPECT_EQ(seconds_of_time_limit("2-03:00:00"), 51 * 3600);
}

TEST(TextChecks, OtherFormsAreNoTimeLimits) {
  for (const char* bad : {"", "60", "1:00", "00:00:00", "0-00:00:00", "00:60:00", "00:00:60", "1000:00:00", "-1:00:00",
                          "1-", "a:00:00", "00:00:00;x", "00:00:1", "1-1-00:00:00", "1000-00:00:00", " 1:00:00"})
    EXPECT_EQ(seconds_of_time_limit(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace weft
