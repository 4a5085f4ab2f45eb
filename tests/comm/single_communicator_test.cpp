// Alone, every collective is a copy and every helper works.
#include <gtest/gtest.h>

#include "comm/first_difference.hpp"
#include "weft/communicator.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

TEST(SingleCommunicator, CollectivesCopy) {
  const auto comm = make_single_communicator();
  EXPECT_EQ(comm->size(), 1);
  const std::vector<float> from{1, 2, 3};
  std::vector<float> to(3);
  const auto* f = reinterpret_cast<const std::byte*>(from.data());
  auto* t = reinterpret_cast<std::byte*>(to.data());
  auto request = comm->start_all_reduce(f, t, 3, DType::f32, ReduceKind::sum, {"sum", 1, 0});
  request->wait();
  EXPECT_TRUE(request->done());
  EXPECT_EQ(to, from);
  comm->start_all_gather(nullptr, nullptr, 0, DType::f32, {"nothing", 1, 1})->wait();
  comm->start_broadcast(t, 12, 0, {"told", 1, 2})->wait();
  EXPECT_EQ(to, from);
}

TEST(SingleCommunicator, HasNoPeerToSendTo) {
  const auto comm = make_single_communicator();
  std::string reason;
  EXPECT_FALSE(comm->accepts(CollectiveKind::send, MemorySpace::host, DType::f32, &reason));
  EXPECT_FALSE(reason.empty());
  EXPECT_THROW(comm->start_send(nullptr, 0, 0, {"message", 1, 0}), InternalError);
}

TEST(SingleCommunicator, HelpersWorkAlone) {
  const auto comm = make_single_communicator();
  barrier(*comm, "alone");
  const std::vector<std::byte> data{std::byte{7}};
  EXPECT_EQ(gather_bytes(*comm, data, "one"), std::vector<std::vector<std::byte>>{data});
  EXPECT_EQ(broadcast_bytes(*comm, data, 0, "one"), data);
  EXPECT_EQ(first_difference(*comm, {{"a", "b"}}), "");
  EXPECT_EQ(comm->split(3, 0)->size(), 1);
}

}  // namespace
}  // namespace weft
