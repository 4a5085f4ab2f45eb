// Layouts place elements as oneDNN's blocked formats do, and their text reads back.
#include <gtest/gtest.h>

#include "weft/error.hpp"
#include "weft/layout.hpp"

namespace weft {
namespace {

TEST(Layout, RowMajorOffsetsCountElements) {
  const Layout l = Layout::dense({2, 3, 4});
  EXPECT_EQ(l.offset({1, 2, 3}), 23);
  EXPECT_TRUE(l.is_row_major());
  EXPECT_EQ(l.storage_elements(), 24);
}

TEST(Layout, BlockedChannelsPadUpAndPlaceTheInnerBlockLast) {
  const Layout l = Layout::blocked({2, 20, 5, 5}, {{1, 16}});
  EXPECT_EQ(l.padded(1), 32);
  EXPECT_TRUE(l.has_padding());
  EXPECT_EQ(l.storage_elements(), 2 * 32 * 25);
  EXPECT_EQ(l.offset({1, 17, 2, 3}), 1 * 32 * 25 + 1 * 16 * 25 + (2 * 5 + 3) * 16 + 1);
}

TEST(Layout, TwoBlocksOfOneDimensionSplitItsDigits) {
  // OIhw4i16o4i: i is split into blocks of 4 (outer) and 4 (inner).
  const Layout l = Layout::blocked({16, 16, 1, 1}, {{1, 4}, {0, 16}, {1, 4}});
  EXPECT_EQ(l.offset({3, 6, 0, 0}), 1 * 64 + 3 * 4 + 2);
}

TEST(Layout, TextReadsBack) {
  for (const Layout& l :
       {Layout::dense({2, 3}), Layout::permuted({2, 3, 4, 5}, {0, 2, 3, 1}), Layout::blocked({2, 20, 5, 5}, {{1, 16}})})
    EXPECT_EQ(Layout::parse(l.str()), l) << l.str();
  EXPECT_THROW(Layout::parse("[2, 3:row"), UserError);
}

}  // namespace
}  // namespace weft
