// State tables: what is written is read, and the hash covers names, types and bits.
#include "weft/state.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/host_device.hpp"

namespace weft {
namespace {

class States : public ::testing::Test {
 protected:
  testing::HostDevice device;
  StateTable table{device};
};

TEST_F(States, WhatIsWrittenIsRead) {
  table.add("w", Tensor::from<float>({2}, {1, 2}));
  const Tensor next = Tensor::from<float>({2}, {3, -0.0f});
  table.write("w", next);
  EXPECT_TRUE(table.read("w").identical(next));
  float second = 1;
  table.read_bytes("w", 4, std::as_writable_bytes(std::span(&second, 1)));
  EXPECT_TRUE(std::signbit(second));
  EXPECT_EQ(table.bytes(), 8);
}

TEST_F(States, AnEmptyStateIsKept) {
  table.add("none", Tensor(DType::f32, {0, 3}));
  EXPECT_EQ(table.read("none").shape(), Shape({0, 3}));
}

TEST_F(States, AnotherTypeOrASecondStateOfTheSameNameIsAFault) {
  table.add("w", Tensor::from<float>({2}, {1, 2}));
  EXPECT_THROW(table.write("w", Tensor::from<float>({1, 2}, {1, 2})), InternalError);
  EXPECT_THROW(table.add("w", Tensor()), InternalError);
  EXPECT_THROW(table.read("v"), InternalError);
}

TEST_F(States, EqualTablesHashEqualWhateverTheOrderOfAdding) {
  table.add("a", Tensor::scalar(1.0f));
  table.add("b", Tensor::scalar(2.0f));
  StateTable other(device);
  other.add("b", Tensor::scalar(2.0f));
  other.add("a", Tensor::scalar(1.0f));
  EXPECT_EQ(table.hash(), other.hash());
}

TEST_F(States, OneBitOrANameOrATypeChangesTheHash) {
  table.add("a", Tensor::from<std::int32_t>({2}, {0, 0}));
  const std::uint64_t before = table.hash();
  table.write("a", Tensor::from<std::int32_t>({2}, {0, 1}));
  EXPECT_NE(table.hash(), before);
  StateTable renamed(device), retyped(device), reshaped(device);
  renamed.add("b", Tensor::from<std::int32_t>({2}, {0, 0}));
  retyped.add("a", Tensor::from<float>({2}, {0, 0}));
  reshaped.add("a", Tensor::from<std::int32_t>({2, 1}, {0, 0}));
  EXPECT_NE(renamed.hash(), before);
  EXPECT_NE(retyped.hash(), before);
  EXPECT_NE(reshaped.hash(), before);
}

}  // namespace
}  // namespace weft
