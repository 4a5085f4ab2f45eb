// Quantities and tables as users read them.
#include "src/run/text.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace weft {
namespace {

TEST(Text, BytesHaveBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(200.0 * (1 << 20)), "200 MiB");
}

TEST(Text, CountsAreShort) {
  EXPECT_EQ(format_count(950), "950");
  EXPECT_EQ(format_count(12345), "12.3k");
  EXPECT_EQ(format_count(4.1e6), "4.10M");
  EXPECT_EQ(format_count(-4.1e6), "-4.10M");
  EXPECT_EQ(format_count(NAN), "nan");
}

TEST(Text, DurationsReadLikeAClock) {
  EXPECT_EQ(format_duration(0.0012), "1.20 ms");
  EXPECT_EQ(format_duration(0.85), "850 ms");
  EXPECT_EQ(format_duration(12.34), "12.3 s");
  EXPECT_EQ(format_duration(59.97), "1:00");
  EXPECT_EQ(format_duration(187), "3:07");
  EXPECT_EQ(format_duration(7509), "2:05:09");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600), "3 d 04:00");
  EXPECT_EQ(format_duration(INFINITY), "inf");
  EXPECT_EQ(format_duration(1e300), "1.16e+295 d");
}

TEST(Text, TablesAlignNumbersRightAndNamesLeft) {
  EXPECT_EQ(format_table({"name", "ms"}, {{"conv", "1.5"}, {"größer", "12"}}),
            "name     ms\n"
            "conv    1.5\n"
            "größer   12\n");
  EXPECT_EQ(format_table({"a", "b"}, {}), "a  b\n");
}

TEST(Text, PairsAlignTheirValues) { EXPECT_EQ(format_pairs({{"step", "1"}, {"loss", "2"}}), "step  1\nloss  2\n"); }

}  // namespace
}  // namespace weft
