// The bubble of a pipeline on balanced stages, measured against its formula.
//
//     mpirun -n 2 bench_pipeline [WIDTH]
//
// An MLP of equal layers, one thread a rank, one stage a rank (and two, interleaved). A line of JSON from rank 0
// for each number m of micro-batches: `bubble`, the part of the time until the last pass has run in which the
// average rank runs no pass, of the fastest step (neighbours on the machine make others longer) and the median over
// steps; `formula`, (p - 1) / (v m + p - 1); `imbalance`, the slowest rank's computation over the average's, less 1, of
// the fastest step.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "comm/mpi/mpi_runtime.hpp"
#include "tests/distributed/rank_of_pipeline.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr int kSteps = 40, kLayers = 16;
constexpr std::int64_t kSamples = 128;

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// The first and the last layer are small: the one has no gradient to send on, the other ends in the loss.
test::PassedStep equal_layers(const std::string& width, int micro_batches) {
  std::string hidden = width;
  for (int i = 0; i < kLayers; ++i) hidden += "," + width;
  test::PassedStep step{test::network("mlp", {{"hidden", hidden}, {"inputs", "8"}, {"classes", "8"}}),
                        test::plain_job(), kSamples, micro_batches};
  step.job.batch = kSamples * micro_batches;
  step.job.optimizer = test::optimizer_spec("sgd", {{"lr", 0.001}});
  step.classes = 8;
  return step;
}

nlohmann::ordered_json measured(Communicator& world, const std::string& width, int micro_batches, int chunks) {
  const test::PassedStep step = equal_layers(width, micro_batches);
  test::RankOfPipeline rank(world, step, {{{"pipeline", world.size()}}}, chunks);
  const test::Table feeds = step.feeds(0);
  std::vector<double> bubbles;
  double fastest = 0, bubble = 0, imbalance = 0;
  for (int n = 0; n < kSteps; ++n) {
    barrier(world, "starting a step");
    rank.run(n + 1, feeds);
    const PipelineExecutor::Times mine = rank.executor().times();
    const auto all = gather_bytes(world, std::as_bytes(std::span(&mine, 1)), "times of a step");
    double longest = 0, computing = 0, slowest = 0;
    for (const auto& bytes : all) {
      PipelineExecutor::Times times;
      std::memcpy(&times, bytes.data(), sizeof times);
      longest = std::max(longest, times.passes);
      slowest = std::max(slowest, times.computing);
      computing += times.computing / world.size();
    }
    if (n < 2) continue;  // caches and pages
    bubbles.push_back(1 - computing / longest);
    if (fastest > 0 && longest >= fastest) continue;
    fastest = longest;
    bubble = bubbles.back();
    imbalance = slowest / computing - 1;
  }
  const double p = world.size();
  return {{"ranks", world.size()},
          {"micro_batches", micro_batches},
          {"chunks", chunks},
          {"seconds", fastest},
          {"bubble", bubble},
          {"formula", (p - 1) / (chunks * micro_batches + p - 1)},
          {"median_bubble", median(bubbles)},
          {"imbalance", imbalance}};
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  try {
    weft::MpiRuntime runtime(weft::detect_launch(), {});
    const auto world = runtime.world();
    const std::string width = argc > 1 ? argv[1] : "512";
    for (const int chunks : {1, 2})
      for (const int m : {2, 4, 8}) {
        const auto row = weft::measured(*world, width, m, chunks);
        if (world->rank() != 0) continue;
        fmt::print("{}\n", row.dump());
        std::fflush(stdout);
      }
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
