// Flight logs: what is kept, what a reader believes, and where the logs of several ranks part.
#include "comm/flight_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace weft {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// One rank's log of operations of a group of `ranks`.
class Rank {
 public:
  Rank(int rank, int ranks) : ranks_(ranks), log_(rank, ranks, 1) {}
  /// The next collective.
  std::uint64_t reduce(const char* name, std::int64_t count, DType type = DType::f32) {
    OperationSignature s = make_signature(CollectiveKind::all_reduce, count, type, ReduceKind::sum, -1, {name, 7, 2});
    s.group = 5;
    s.sequence = ++sequence_;
    return log_.start({s, ranks_, "data", "/layer1/conv"});
  }
  void finished(const char* name, std::int64_t count) { log_.end(reduce(name, count), false); }
  std::uint64_t message(bool sends, int peer, std::int64_t bytes, std::uint64_t sequence) {
    OperationSignature s = make_signature(CollectiveKind::send, bytes, DType::u8, ReduceKind::sum, -1, {"x", 7, 2});
    s.group = 5;
    s.sequence = sequence;
    return log_.start({s, ranks_, "data", "", peer, sends});
  }
  FlightLog& log() { return log_; }
  RankFlight read() const { return log_.read(); }

 private:
  int ranks_;
  std::uint64_t sequence_ = 0;
  FlightLog log_;
};

TEST(FlightLog, KeepsWhatAnOperationWasAndHowItEnded) {
  Rank rank(0, 2);
  rank.log().end(rank.reduce("bucket 1", 100), false);
  rank.log().end(rank.reduce("bucket 2", 200), true);
  rank.reduce("bucket 3", 300);
  const RankFlight flight = rank.read();
  ASSERT_EQ(flight.records.size(), 3U);
  EXPECT_EQ(flight.records[0].state, FlightState::finished);
  EXPECT_GE(flight.records[0].finished, flight.records[0].started);
  EXPECT_EQ(flight.records[1].state, FlightState::failed);
  EXPECT_EQ(flight.records[2].state, FlightState::started);
  EXPECT_EQ(flight.records[2].str(),
            "#3 of group 'data': all-reduce of 300 f32 (sum), 'bucket 3' (step 7, sequence 2), at /layer1/conv");
}

TEST(FlightLog, KeepsTheLastOnes) {
  Rank rank(0, 2);
  for (int k = 1; k <= 1000; ++k) rank.finished("again", k);
  const RankFlight flight = rank.read();
  ASSERT_EQ(flight.records.size(), FlightHead::kEntries);
  EXPECT_EQ(flight.records.front().signature.count, 1000 - static_cast<int>(FlightHead::kEntries) + 1);
  EXPECT_EQ(flight.records.back().signature.count, 1000);
}

TEST(FlightLog, EndingAnOperationThatWasOverwrittenChangesNothing) {
  Rank rank(0, 2);
  const std::uint64_t old = rank.reduce("old", 1);
  for (std::uint32_t k = 0; k < FlightHead::kEntries; ++k) rank.reduce("new", 2);
  rank.log().end(old, true);
  for (const FlightRecord& r : rank.read().records) EXPECT_EQ(r.state, FlightState::started);
}

TEST(FlightLog, BytesOfAnotherOriginAreNotBelieved) {
  const std::shared_ptr<std::byte> memory(new std::byte[FlightLog::kBytes](), std::default_delete<std::byte[]>());
  EXPECT_FALSE(read_flight({memory.get(), FlightLog::kBytes}));
  const FlightLog log(0, 2, 1, memory);
  EXPECT_TRUE(read_flight({memory.get(), FlightLog::kBytes}));
  EXPECT_FALSE(read_flight({memory.get(), FlightLog::kBytes - 1}));
  // Every entry filled with one byte, whatever it is: nothing is reported, and nothing is read out of bounds.
  for (int byte = 1; byte < 256; ++byte) {
    std::memset(memory.get() + sizeof(FlightHead), byte, FlightLog::kBytes - sizeof(FlightHead));
    EXPECT_TRUE(read_flight({memory.get(), FlightLog::kBytes})->records.empty()) << byte;
  }
}

TEST(FlightDifference, IsNothingWhereRanksDidTheSame) {
  Rank a(0, 2), b(1, 2);
  for (Rank* rank : {&a, &b}) {
    rank->finished("bucket 1", 100);
    rank->reduce("bucket 2", 200);
  }
  EXPECT_EQ(first_flight_difference({a.read(), b.read()}), "");
  EXPECT_EQ(first_flight_difference({}), "");
}

TEST(FlightDifference, NamesTheFirstOperationThatIsNotTheSame) {
  Rank a(0, 3), b(1, 3), c(2, 3);
  for (Rank* rank : {&a, &b, &c}) rank->finished("bucket 1", 100);
  for (Rank* rank : {&a, &c}) rank->reduce("bucket 2", 200);
  b.reduce("bucket 3", 300);
  const std::string text = first_flight_difference({a.read(), b.read(), c.read()});
  EXPECT_THAT(text, HasSubstr("ranks part at operation #2 of group 'data'; what differs: count, name"));
  EXPECT_THAT(text, HasSubstr("ranks 0, 2: all-reduce of 200 f32 (sum), 'bucket 2'"));
  EXPECT_THAT(text, HasSubstr("rank 1: all-reduce of 300 f32 (sum), 'bucket 3'"));
  EXPECT_THAT(text, HasSubstr("at /layer1/conv"));
}

TEST(FlightDifference, NamesWhoHasNotComeAndHowFarItCame) {
  Rank a(0, 3), b(1, 3), c(2, 3);
  for (Rank* rank : {&a, &b, &c}) rank->finished("bucket 1", 100);
  for (Rank* rank : {&a, &b}) rank->reduce("bucket 2", 200);
  const std::string text = first_flight_difference({a.read(), b.read(), c.read()});
  EXPECT_THAT(text, HasSubstr("ranks 0, 1 came to operation #2 of group 'data'"));
  EXPECT_THAT(text, HasSubstr("\n  rank 2 came to #1, all-reduce of 100 f32 (sum), 'bucket 1'"));
}

TEST(FlightDifference, NamesARankThatNeverCameAtAll) {
  Rank a(0, 2), b(1, 2);
  a.reduce("bucket 1", 100);
  EXPECT_THAT(first_flight_difference({a.read(), b.read()}), HasSubstr("rank 1 came to none of them"));
}

TEST(FlightDifference, PrefersWhatDiffersToWhoIsLate) {
  Rank a(0, 2), b(1, 2);
  a.finished("bucket 1", 100);
  a.reduce("bucket 2", 200);
  b.reduce("bucket 9", 100);
  EXPECT_THAT(first_flight_difference({a.read(), b.read()}), HasSubstr("ranks part at operation #1"));
}

TEST(FlightDifference, ComparesMessagesOfEachDirectionApart) {
  Rank a(0, 2), b(1, 2);
  a.message(true, 1, 800, 1);
  b.message(false, 0, 800, 1);
  b.message(true, 0, 400, 1);
  a.message(false, 1, 400, 1);
  EXPECT_EQ(first_flight_difference({a.read(), b.read()}), "");
  a.message(true, 1, 800, 2);
  b.message(false, 0, 900, 2);
  const std::string text = first_flight_difference({a.read(), b.read()});
  EXPECT_THAT(text, HasSubstr("message #2"));
  EXPECT_THAT(text, HasSubstr("what differs: count"));
}

}  // namespace
}  // namespace weft
