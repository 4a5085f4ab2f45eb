// Traces survive the way from rank to rank, and become what Perfetto reads.
#include "src/train/observers.hpp"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace weft {
namespace {

Program two_instructions() {
  Program program;
  program.kernels.resize(1);
  program.kernels[0].implementation = "loop.pointwise";
  Instruction kernel, collective;
  kernel.name = "relu1";
  kernel.kernel = 0;
  collective.name = "all-reduce \"b\"";
  collective.kind = InstructionKind::collective_start;
  collective.lane = Lane::communication;
  program.instructions = {kernel, collective};
  return program;
}

/// `collectives` of the second instruction, in flight one after the other or at the same time.
Tracer traced(int collectives = 1, bool overlapped = false) {
  const Program program = two_instructions();
  Tracer tracer;
  tracer.set_step(7);
  for (int i : {0, 1}) {
    tracer.begin(program, i);
    tracer.end(program, i);
  }
  auto start = std::chrono::steady_clock::now();
  for (int k = 0; k < collectives; ++k) {
    tracer.communicated(program, 1, {start, start + std::chrono::milliseconds(20)}, 0.001);
    start += std::chrono::milliseconds(overlapped ? 5 : 30);
  }
  return tracer;
}

TEST(Tracer, KeepsNameImplementationLaneAndStepOfEachInstruction) {
  const std::vector<TraceEvent> events = Tracer::unpack(traced().pack());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].name, "relu1");
  EXPECT_EQ(events[0].implementation, "loop.pointwise");
  EXPECT_EQ(events[0].step, 7);
  EXPECT_EQ(events[1].lane, Lane::compute) << "starting a collective takes the compute thread's time";
  EXPECT_GE(events[1].start, events[0].start + events[0].seconds);
  EXPECT_EQ(events[2].lane, Lane::communication);
  EXPECT_EQ(events[2].name, events[1].name);
  EXPECT_NEAR(events[2].seconds, 0.020, 1e-6) << "from its start to its end, whatever the compute thread did meanwhile";
}

TEST(Tracer, GivesCollectivesThatOverlapTracksOfTheirOwn) {
  for (const bool overlapped : {false, true}) {
    const auto json = nlohmann::json::parse(Tracer::chrome_json({traced(3, overlapped).events()}));
    std::map<int, double> ends;
    for (const auto& e : json.at("traceEvents")) {
      if (e.at("ph") != "X" || e.at("cat") != "communication") continue;
      const int track = e.at("tid").get<int>();
      EXPECT_GE(e.at("ts").get<double>(), ends[track]) << "two at a time on track " << track;
      ends[track] = e.at("ts").get<double>() + e.at("dur").get<double>();
    }
    EXPECT_EQ(ends.size(), overlapped ? 3U : 1U);
  }
}

TEST(CommunicationTimes, CountTimeWithCollectivesInFlightOnceAndWaitsAltogether) {
  const Program program = two_instructions();
  CommunicationTimes times;
  const auto at = [origin = std::chrono::steady_clock::now()](int ms) {
    return origin + std::chrono::milliseconds(ms);
  };
  times.communicated(program, 1, {at(20), at(30)}, 0.002);
  times.communicated(program, 1, {at(0), at(10)}, 0);
  times.communicated(program, 1, {at(5), at(12)}, 0.001);
  times.communicated(program, 1, {at(6), at(7)}, 0);
  EXPECT_NEAR(times.in_flight(), 0.022, 1e-9);
  EXPECT_NEAR(times.exposed(), 0.003, 1e-9);
  EXPECT_EQ(CommunicationTimes().in_flight(), 0);
}

TEST(Tracer, WritesOneProcessARankAndOneTrackALane) {
  const auto json = nlohmann::json::parse(Tracer::chrome_json({traced().events(), traced().events()}));
  int ranks = 0, tracks = 0, events = 0;
  for (const auto& e : json.at("traceEvents")) {
    if (e.at("name") == "process_name") ++ranks;
    if (e.at("name") == "thread_name") ++tracks;
    if (e.at("ph") != "X") continue;
    ++events;
    if (e.at("name") == "relu1") {
      EXPECT_EQ(e.at("cat"), "loop.pointwise");
    }
  }
  EXPECT_EQ(ranks, 2);
  EXPECT_EQ(tracks, 6);
  EXPECT_EQ(events, 6);
}

}  // namespace
}  // namespace weft
