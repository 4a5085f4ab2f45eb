// Initial values: read when they are asked for, each time, and never held.
#include "weft/initial_value.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/host_device.hpp"
#include "weft/error.hpp"
#include "weft/state.hpp"

namespace weft {
namespace {

TEST(InitialValues, AreReadFromWhereTheyAreEachTimeTheyAreAskedFor) {
  int reads = 0;
  const InitialValue value(DType::f32, {2}, [&](std::int64_t, std::span<std::byte> to) {
    const float numbers[] = {1, static_cast<float>(++reads)};
    std::memcpy(to.data(), numbers, sizeof numbers);
  });
  EXPECT_EQ(reads, 0);
  EXPECT_FALSE(value.is_zeros());
  EXPECT_TRUE(value.value().identical(Tensor::from<float>({2}, {1, 1})));
  EXPECT_TRUE(value.value().identical(Tensor::from<float>({2}, {1, 2})));
}

TEST(InitialValues, ZerosAndTensorsNeedNoSource) {
  EXPECT_TRUE(InitialValue::zeros(DType::i64, {3}).is_zeros());
  EXPECT_TRUE(InitialValue::zeros(DType::i64, {3}).value().identical(Tensor(DType::i64, {3})));
  const Tensor five = Tensor::full(DType::f64, {2, 2}, 5);
  EXPECT_TRUE(InitialValue(five).value().identical(five));
  EXPECT_THROW(InitialValue(five).read({}), InternalError);
}

TEST(InitialValues, AreReadInParts) {
  const Tensor numbers = Tensor::from<std::int32_t>({4}, {1, 2, 3, 4});
  const InitialValue held(numbers);
  const InitialValue elsewhere(DType::i32, {4}, [&](std::int64_t offset, std::span<std::byte> to) {
    std::memcpy(to.data(), numbers.data() + offset, to.size());
  });
  for (const InitialValue& value : {held, elsewhere}) {
    std::int32_t middle[2] = {};
    value.read(4, std::as_writable_bytes(std::span(middle)));
    EXPECT_EQ(middle[0], 2);
    EXPECT_EQ(middle[1], 3);
    EXPECT_THROW(value.read(12, std::as_writable_bytes(std::span(middle))), InternalError);
  }
}

TEST(InitialValues, AStateWhoseSourceFailsIsNotAdded) {
  testing::HostDevice device;
  StateTable table(device);
  const InitialValue broken(DType::f32, {2}, [](std::int64_t, std::span<std::byte>) { throw SystemError("gone"); });
  EXPECT_THROW(table.add("w", broken), SystemError);
  EXPECT_FALSE(table.has("w"));
  table.add("w", InitialValue::zeros(DType::f32, {2}));
  EXPECT_TRUE(table.read("w").identical(Tensor(DType::f32, {2})));
}

}  // namespace
}  // namespace weft
