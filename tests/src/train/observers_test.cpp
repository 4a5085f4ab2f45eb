// Traces survive the way from rank to rank, and become what Perfetto reads.
#include "src/train/observers.hpp"

#include <gtest/gtest.h>

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

Tracer traced() {
  const Program program = two_instructions();
  Tracer tracer;
  tracer.set_step(7);
  for (int i : {0, 1}) {
    tracer.begin(program, i);
    tracer.end(program, i);
  }
  return tracer;
}

TEST(Tracer, KeepsNameImplementationLaneAndStepOfEachInstruction) {
  const std::vector<TraceEvent> events = Tracer::unpack(traced().pack());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].name, "relu1");
  EXPECT_EQ(events[0].implementation, "loop.pointwise");
  EXPECT_EQ(events[0].step, 7);
  EXPECT_EQ(events[1].lane, Lane::communication);
  EXPECT_GE(events[1].start, events[0].start + events[0].seconds);
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
  EXPECT_EQ(events, 4);
}

}  // namespace
}  // namespace weft
