// The order of units: memory, collectives, and time that grows with the number of units and no faster.
#include "graph/lowering/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "graph/lowering/liveness.hpp"
#include "graph/lowering/updates.hpp"
#include "graph/lowering/verify.hpp"

namespace weft {
namespace {

using namespace lowering;

/// Units of one input and one output each, by hand.
class Builder {
 public:
  int tensor(std::int64_t elements, BufferKind kind = BufferKind::arena, const std::string& name = "") {
    graph.tensors.push_back({name, kind, DType::f32, Layout::dense(Shape{elements}), std::nullopt, -1, -1, 0});
    return static_cast<int>(graph.tensors.size()) - 1;
  }
  int unit(std::vector<int> inputs, std::vector<int> outputs, UnitKind kind = UnitKind::kernel) {
    LoweredUnit unit;
    unit.kind = kind;
    unit.inputs = std::move(inputs);
    unit.outputs = std::move(outputs);
    unit.rank = static_cast<int>(graph.units.size());
    unit.collective.sequence = kind == UnitKind::collective ? sequence_++ : 0;
    graph.units.push_back(std::move(unit));
    return static_cast<int>(graph.units.size()) - 1;
  }
  int all_reduce(int tensor) {
    graph.tensors.push_back(graph.tensor(tensor));
    const int out = static_cast<int>(graph.tensors.size()) - 1;
    graph.tensor(out).storage = tensor;
    unit({tensor}, {out}, UnitKind::collective);
    return out;
  }

  LoweredGraph graph;

 private:
  int sequence_ = 0;
};

int position(const std::vector<Step>& steps, Step::Kind kind, int unit) {
  const auto found =
      std::find_if(steps.begin(), steps.end(), [&](const Step& s) { return s.kind == kind && s.unit == unit; });
  return found == steps.end() ? -1 : static_cast<int>(found - steps.begin());
}

TEST(Schedule, WhatFreesMemoryRunsBeforeWhatTakesMore) {
  Builder b;
  const int x = b.tensor(1000, BufferKind::feed), big = b.tensor(1000), small = b.tensor(10), other = b.tensor(1000);
  const int first = b.unit({x}, {big}), second = b.unit({x}, {other}), frees = b.unit({big}, {small});
  b.graph.fetches = {{"small", small}, {"other", other}};
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  EXPECT_LT(position(steps, Step::Kind::run, first), position(steps, Step::Kind::run, frees));
  EXPECT_LT(position(steps, Step::Kind::run, frees), position(steps, Step::Kind::run, second));
}

TEST(Schedule, UpdatesRunAsTheirGradientsBecomeFinal) {
  Builder b;
  constexpr int kLayers = 20;
  int gradient = b.tensor(1000, BufferKind::feed);
  std::vector<int> weight_gradients;
  for (int l = 0; l < kLayers; ++l) {
    const int dw = b.tensor(5000), dx = b.tensor(1000);
    b.unit({gradient}, {dw});
    b.unit({gradient}, {dx});
    weight_gradients.push_back(dw);
    gradient = dx;
  }
  for (int l = 0; l < kLayers; ++l) {
    const int w = b.tensor(5000, BufferKind::state, "w" + std::to_string(l)), next = b.tensor(5000);
    b.unit({w, weight_gradients[static_cast<std::size_t>(l)]}, {next});
    b.graph.units.back().spec.overwrites_operands = true;
    b.graph.state_updates.emplace_back("w" + std::to_string(l), next);
  }
  b.graph.fetches = {{"dx", gradient}};
  const LoweredGraph graph = update_states_in_place(std::move(b.graph), "");
  const std::vector<Step> steps = schedule(graph);
  verify_schedule(graph, steps);
  EXPECT_EQ(peak_bytes(graph, steps), 20032 + 4032) << "one gradient of weights and one of operands at a time";
}

TEST(Schedule, BucketsAreWaitedForWhenFourOthersHaveStartedOrAtTheEnd) {
  Builder b;
  constexpr int kLayers = 12;
  int gradient = b.tensor(1000, BufferKind::feed);
  std::vector<int> sums;
  for (int l = 0; l < kLayers; ++l) {
    const int dw = b.tensor(1000), dx = b.tensor(1000);
    b.unit({gradient}, {dw});
    sums.push_back(b.all_reduce(dw));
    b.unit({gradient}, {dx});
    gradient = dx;
  }
  std::vector<int> readers;
  for (const int sum : sums) {
    const int next = b.tensor(1);
    readers.push_back(b.unit({sum}, {next}));
    b.graph.fetches.emplace_back("f" + std::to_string(next), next);
  }
  b.graph.fetches.emplace_back("dx", gradient);
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  std::vector<int> starts, waits;
  for (int u = 0; u < static_cast<int>(b.graph.units.size()); ++u)
    if (b.graph.unit(u).kind == UnitKind::collective) {
      starts.push_back(position(steps, Step::Kind::run, u));
      waits.push_back(position(steps, Step::Kind::wait, u));
    }
  for (std::size_t c = 0; c + 4 < starts.size(); ++c) EXPECT_GT(waits[c], starts[c + 4]);
  for (std::size_t c = 0; c + 5 < starts.size(); ++c) EXPECT_LT(waits[c], starts[c + 5]) << "its memory ends with it";
  EXPECT_GT(waits.back(), starts.back());
}

TEST(Schedule, GathersOfStatesStartAheadButFewLiveAtOnce) {
  Builder b;
  int x = b.tensor(10, BufferKind::feed);
  std::vector<int> gathers, uses;
  for (int l = 0; l < 10; ++l) {
    const int part = b.tensor(500, BufferKind::state, "w" + std::to_string(l)), whole = b.tensor(1000);
    gathers.push_back(b.unit({part}, {whole}, UnitKind::collective));
    b.graph.unit(gathers.back()).collective.kind = CollectiveKind::all_gather;
    const int y = b.tensor(10);
    uses.push_back(b.unit({x, whole}, {y}));
    x = y;
  }
  b.graph.fetches = {{"y", x}};
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  EXPECT_LE(peak_bytes(b.graph, steps), 3 * 4032 + 2 * 64) << "one in use and two on their way";
  for (std::size_t l = 2; l < uses.size(); ++l)
    EXPECT_LT(position(steps, Step::Kind::run, gathers[l]), position(steps, Step::Kind::run, uses[l - 2]) + 2);
}

TEST(Schedule, WhatIsScatteredDoesNotWaitForItsReaders) {
  Builder b;
  int x = b.tensor(10, BufferKind::feed);
  std::vector<int> parts;
  for (int l = 0; l < 10; ++l) {
    const int gradient = b.tensor(1000), part = b.tensor(10), y = b.tensor(10);
    b.unit({x}, {gradient});
    b.unit({gradient}, {part}, UnitKind::collective);
    b.graph.units.back().collective.kind = CollectiveKind::reduce_scatter;
    parts.push_back(part);
    b.unit({x}, {y});
    x = y;
  }
  parts.push_back(x);
  const int norm = b.tensor(1);
  b.unit(parts, {norm});
  b.graph.fetches = {{"norm", norm}};
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  EXPECT_LE(peak_bytes(b.graph, steps), 3 * 4032 + 12 * 64);
}

TEST(Schedule, AKernelThatAnotherCollectiveNeedsDoesNotWaitForTheEnd) {
  Builder b;
  const int x = b.tensor(10, BufferKind::feed), a = b.tensor(10), c = b.tensor(10);
  b.unit({x}, {a});
  const int sum = b.all_reduce(a);
  const int reader = b.unit({sum}, {c});
  const int second = b.all_reduce(c);
  int last = x;
  std::vector<int> chain;
  for (int i = 0; i < 5; ++i) {
    const int next = b.tensor(10);
    chain.push_back(b.unit({last}, {next}));
    last = next;
  }
  b.graph.fetches = {{"sum", second}, {"chain", last}};
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  EXPECT_GT(position(steps, Step::Kind::run, reader), position(steps, Step::Kind::run, chain.back()))
      << "what needs no message hides it";
  EXPECT_LT(position(steps, Step::Kind::run, reader), position(steps, Step::Kind::run, reader + 1));
}

TEST(Schedule, ALateUnitRunsWhenAReaderWaitsForNothingElse) {
  for (const bool late : {false, true}) {
    Builder b;
    const int x = b.tensor(1000, BufferKind::feed), statistics = b.tensor(10), normal = b.tensor(1000);
    b.unit({x}, {statistics});
    const int summed = b.all_reduce(statistics);
    const int forward = b.unit({x, summed}, {normal});
    const int more = b.all_reduce(normal);
    const int again = b.tensor(1000), gradient = b.tensor(10);
    const int copy = b.unit({x}, {again});
    b.graph.unit(copy).late = late;
    const int reader = b.unit({again, more}, {gradient});
    b.graph.fetches = {{"gradient", gradient}};
    const std::vector<Step> steps = schedule(b.graph);
    verify_schedule(b.graph, steps);
    EXPECT_EQ(position(steps, Step::Kind::run, copy) > position(steps, Step::Kind::run, forward), late);
    EXPECT_LT(position(steps, Step::Kind::run, copy), position(steps, Step::Kind::run, reader));
  }
}

TEST(Schedule, LateUnitsThatReadOneAnotherAndThatNobodyReadsRunToo) {
  Builder b;
  const int x = b.tensor(10, BufferKind::feed), first = b.tensor(10), second = b.tensor(10), unread = b.tensor(10),
            result = b.tensor(10);
  for (const int u : {b.unit({x}, {first}), b.unit({first}, {second}), b.unit({second}, {unread})})
    b.graph.unit(u).late = true;
  b.unit({first, second}, {result});
  b.graph.fetches = {{"result", result}};
  const std::vector<Step> steps = schedule(b.graph);
  verify_schedule(b.graph, steps);
  EXPECT_EQ(steps.size(), 4U);
}

TEST(Schedule, ThousandsOfUnitsThatAreReadyTogetherAreNoMatter) {
  Builder b;
  const int x = b.tensor(100, BufferKind::feed);
  std::vector<int> parts;
  for (int i = 0; i < 20000; ++i) {
    parts.push_back(b.tensor(100));
    b.unit({x}, {parts.back()});
    b.graph.fetches.emplace_back(std::to_string(i), parts.back());
  }
  const std::vector<Step> steps = schedule(b.graph);
  EXPECT_EQ(steps.size(), 20000u);
  verify_schedule(b.graph, steps);
}

}  // namespace
}  // namespace weft
