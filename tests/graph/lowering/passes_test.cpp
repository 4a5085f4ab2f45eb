// The list of passes: each one verified, measured, and right to leave out where it says so.
#include "graph/lowering/passes.hpp"

#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/run_compiled.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;

constexpr std::int64_t kSamples = 4;
constexpr int kSteps = 3;

/// A convolutional network with batch normalisation and dropout, its states, and several steps on it.
class SmallNetwork {
 public:
  explicit SmallNetwork(const std::string& optimizer)
      : model_(conv_net(kSamples, 0.3)), device_(make_cpu_device({2, CpuIsa::automatic, true})) {
    JobSpec job = plain_job();
    job.batch = kSamples;
    job.metrics = {"accuracy"};
    job.optimizer = optimizer_spec(optimizer, {{"lr", 0.05}, {"weight_decay", 0.01}, {"clip_norm", 1.0}});
    step_ = build_training_step(model_, job, {kSamples, kSamples, Pass::only, {9, 3}, Shape{}});
  }

  const Graph& graph() const { return step_.graph; }
  Device& device() { return *device_; }

  /// Losses of all steps, then all states.
  std::vector<Tensor> train(const LoweringOptions& options) {
    Table table;
    add_initial_states(table, model_, step_);
    std::vector<Tensor> results;
    for (int s = 0; s < kSteps; ++s) {
      table["x"] = noise(step_.graph.type(step_.graph.find_input("x")).shape, 100 + s);
      table["target"] = Tensor::from<std::int64_t>({kSamples}, {0, 1, 2, 3});
      table["sample_offset"] = Tensor::scalar<std::int64_t>(0);
      for (auto& [name, value] : testing::run_compiled(step_.graph, table, *device_, options)) {
        if (name == "loss") results.push_back(value);
        if (table.count(name)) table[name] = value;
      }
    }
    for (const auto& [name, value] : table) results.push_back(value);
    return results;
  }

 private:
  Model model_;
  TrainingGraph step_;
  std::unique_ptr<Device> device_;
};

TEST(Passes, LeavingAnyOneOutGivesTheSameLossesAndStates) {
  for (const char* optimizer : {"sgd", "adamw"}) {
    SmallNetwork network(optimizer);
    LoweringOptions options;
    options.guard = "loss";
    const std::vector<Tensor> expected = network.train(options);
    for (const std::string& pass : switchable_passes()) {
      options.without = {pass};
      const std::vector<Tensor> results = network.train(options);
      ASSERT_EQ(results.size(), expected.size());
      for (std::size_t i = 0; i < results.size(); ++i)
        for (std::int64_t e = 0; e < results[i].elements(); ++e)
          EXPECT_NEAR(results[i].as_double(e), expected[i].as_double(e), 2e-5) << "without " << pass;
    }
  }
}

TEST(Passes, LeavingAllOutGivesTheSameLossesAndStates) {
  SmallNetwork network("sgd");
  const std::vector<Tensor> expected = network.train({});
  LoweringOptions options;
  options.without = switchable_passes();
  const std::vector<Tensor> results = network.train(options);
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::int64_t e = 0; e < results[i].elements(); ++e)
      EXPECT_NEAR(results[i].as_double(e), expected[i].as_double(e), 2e-5);
}

TEST(Passes, EachOneStartsWithWhatTheOneBeforeMade) {
  SmallNetwork network("sgd");
  const Lowered lowered = lower(network.graph(), network.device().oracle(), {});
  ASSERT_EQ(lowered.passes.size(), pass_list().size());
  for (std::size_t i = 0; i < lowered.passes.size(); ++i) {
    const PassRecord& p = lowered.passes[i];
    EXPECT_EQ(p.name, pass_list()[i].name);
    EXPECT_TRUE(p.on);
    EXPECT_EQ(p.input, "") << "nobody asked";
    if (i == 0) continue;
    EXPECT_EQ(p.before.nodes, lowered.passes[i - 1].after.nodes);
    EXPECT_EQ(p.before.bytes, lowered.passes[i - 1].after.bytes);
  }
  EXPECT_EQ(lowered.passes.back().after.bytes, lowered.program.arena_bytes[0]);
}

TEST(Passes, WithoutFusionEveryNodeIsAKernelAndWithoutPlanningEveryBufferHasItsPlace) {
  SmallNetwork network("sgd");
  const Lowered whole = lower(network.graph(), network.device().oracle(), {});
  LoweringOptions options;
  options.without = {"fuse", "memory"};
  const Lowered split = lower(network.graph(), network.device().oracle(), options);
  EXPECT_GT(split.program.instructions.size(), whole.program.instructions.size());
  std::int64_t bytes = 0;
  for (const Buffer& b : split.program.buffers)
    if (b.kind == BufferKind::arena) bytes += (b.bytes + 63) / 64 * 64;
  EXPECT_EQ(split.program.arena_bytes[0], bytes);
  EXPECT_LT(split.program.liveness_bound_bytes, bytes);
}

TEST(Passes, OneThatIsNeededOrUnknownCannotBeLeftOut) {
  SmallNetwork network("sgd");
  for (const char* name : {"partition", "emit", "fues", ""}) {
    LoweringOptions options;
    options.without = {name};
    EXPECT_THROW(lower(network.graph(), network.device().oracle(), options), UserError) << name;
  }
}

TEST(Passes, DumpsAreKeptOfThePassThatIsAskedForAlone) {
  SmallNetwork network("sgd");
  LoweringOptions options;
  options.dump = "schedule";
  for (const PassRecord& p : lower(network.graph(), network.device().oracle(), options).passes) {
    EXPECT_EQ(p.input.empty(), p.name != "schedule");
    EXPECT_EQ(p.output.find("state \"step\" = ") != std::string::npos, p.name == "schedule");
  }
}

}  // namespace
}  // namespace weft
