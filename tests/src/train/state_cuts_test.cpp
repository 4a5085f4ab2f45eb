// Hints of a job as cuts, and plans over meshes.
#include "src/train/state_cuts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/models/models.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/train/resolve_plan.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;

const Mesh kOverFour{{{"data", 1}, {"tensor", 4}}};

Model two_layers() {
  Model model;
  const auto add = [&](const char* name, Shape shape) {
    model.states.push_back({name, InitialValue::zeros(DType::f32, std::move(shape)), true, ""});
  };
  add("fc1.weight", Shape{12, 7});
  add("fc1.bias", Shape{12});
  add("fc2.weight", Shape{3, 12});
  add("head.weight", Shape{12, 7});
  return model;
}

StateCut along_tensor(const std::string& state, int dimension, std::int64_t blocks = 1) {
  return {state, "tensor", dimension, blocks};
}

TEST(HintedCuts, TheFirstPatternThatMatchesApplies) {
  EXPECT_THAT(hinted_cuts({{"fc1.*", 0, 3}, {"fc*.weight", 1, 1}, {"head*", SplitHint::kWhole, 1}}, two_layers(), {},
                          kOverFour),
              ElementsAre(along_tensor("fc1.bias", 0, 3), along_tensor("fc1.weight", 0, 3),
                          along_tensor("fc2.weight", 1), along_tensor("head.weight", StateCut::kWhole)));
}

TEST(HintedCuts, OfATiedNameIsOfTheStateThatHoldsIt) {
  EXPECT_THAT(hinted_cuts({{"head*", 0, 1}}, two_layers(), {{"head.weight", "fc1.weight"}}, kOverFour),
              ElementsAre(along_tensor("fc1.weight", 0)));
}

TEST(HintedCuts, AreCheckedButCutNothingOnOneRank) {
  const Mesh alone{{{"data", 1}}};
  EXPECT_THAT(hinted_cuts({{"fc1.*", 0, 1}}, two_layers(), {}, alone), IsEmpty());
  EXPECT_THROW(hinted_cuts({{"fc3.*", 0, 1}}, two_layers(), {}, alone), UserError);
  EXPECT_THROW(hinted_cuts({{"fc1.bias", 1, 1}}, two_layers(), {}, alone), UserError);
}

TEST(HintedCuts, ThatDoNotFitAreRefusedWithWhatDoes) {
  const auto refused = [](const SplitHint& hint) {
    return message_of([&] { hinted_cuts({hint}, two_layers(), {}, kOverFour); });
  };
  EXPECT_THAT(refused({"fc?.wieght", 0, 1}), AllOf(HasSubstr("parallel.split"), HasSubstr("fc1.weight")));
  EXPECT_THAT(refused({"fc1.weight", 2, 1}), AllOf(HasSubstr("f32[12, 7]"), HasSubstr("Allowed: 0, 1, or none")));
  EXPECT_THAT(refused({"fc2.weight", 0, 1}), AllOf(HasSubstr("over 4 ranks"), HasSubstr("dimensions: 1, or none")));
  EXPECT_THAT(refused({"fc2.weight", 1, 5}), HasSubstr("dimensions: none"));
}

class MeshPlans : public ::testing::Test {
 protected:
  MeshPlans() {
    job_.batch = 8;
    job_.optimizer.momentum = 0.9;
    job_.parallel.automatic = false;
    job_.parallel.tensor = 2;
  }
  StepCompiler compiler() const {
    return {file_, job_, {{{"input", Shape{784}}}, Shape(Dims{})}, {10, 100}, device_->oracle()};
  }
  Plan resolved(int ranks, const FormerPlan& former = {}) {
    StepCompiler c = compiler();
    return resolve_plan(job_, ranks, c, 0, former);
  }

  const onnx::ModelFile file_ = build_model("mlp");
  JobSpec job_;
  std::unique_ptr<Device> device_ = make_cpu_device({1, CpuIsa::automatic, true});
};

TEST_F(MeshPlans, WhatIsLeftOfTheRanksSharesTheBatch) {
  EXPECT_EQ(resolved(2).mesh.str(), "data=1 x tensor=2");
  EXPECT_EQ(resolved(6).mesh.str(), "data=3 x tensor=2");
  job_.parallel.tensor = 1;
  EXPECT_EQ(resolved(6).mesh.str(), "data=6");
}

TEST_F(MeshPlans, ThatTheRanksDoNotFormAreRefusedWithThoseThatDo) {
  EXPECT_THAT(message_of([&] { resolved(5); }),
              AllOf(HasSubstr("mpirun -n 4"), HasSubstr("mpirun -n 6"), HasSubstr("one of 1, 5")));
  job_.parallel.data = 3;
  EXPECT_THAT(message_of([&] { resolved(4); }), AllOf(HasSubstr("data: 3 x tensor: 2"), HasSubstr("mpirun -n 6")));
}

TEST_F(MeshPlans, CutEveryStateOfEveryPass) {
  const Plan plan = resolved(2);
  std::map<std::string, int> dimensions;
  for (const StateCut& cut : plan.cuts) dimensions[cut.state] = cut.dimension;
  StepCompiler c = compiler();
  for (const Pass kind : {Pass::only, Pass::first, Pass::middle, Pass::last}) {
    const Graph step = c.step_graph({8, 0, kind == Pass::only ? 8 : 4, kind}).graph;
    for (const GraphInput& i : step.inputs())
      if (i.role == InputRole::state) {
        EXPECT_TRUE(dimensions.count(i.name)) << i.name;
      }
  }
  EXPECT_GE(dimensions.at("fc1.weight"), 0);
  EXPECT_EQ(dimensions.at("fc1.weight"), dimensions.at("accumulate/fc1.weight"));
  EXPECT_EQ(dimensions.at("fc1.weight"), dimensions.at("optimizer/momentum/fc1.weight"));
  EXPECT_EQ(dimensions.at("step"), StateCut::kWhole);
}

TEST_F(MeshPlans, OfEachZeroStageCutMoreStatesAlongTheSamples) {
  job_.parallel.tensor = 1;
  const auto cut_along_data = [&](int stage) {
    job_.parallel.zero = stage;
    std::set<std::string> states;
    for (const StateCut& cut : resolved(2).cuts)
      if (cut.axis == "data" && cut.dimension != StateCut::kWhole) states.insert(cut.state);
    return states;
  };
  EXPECT_THAT(cut_along_data(0), IsEmpty());
  const std::set<std::string> optimiser = cut_along_data(1), sums = cut_along_data(2), all = cut_along_data(3);
  EXPECT_TRUE(optimiser.count("optimizer/momentum/fc1.weight"));
  EXPECT_FALSE(optimiser.count("accumulate/fc1.weight"));
  EXPECT_TRUE(sums.count("accumulate/fc1.weight"));
  EXPECT_FALSE(sums.count("fc1.weight"));
  EXPECT_TRUE(all.count("fc1.weight"));
}

TEST_F(MeshPlans, FollowTheHints) {
  job_.parallel.split = {{"fc1.weight", 1, 1}, {"fc2.*", SplitHint::kWhole, 1}};
  std::map<std::string, int> dimensions;
  for (const StateCut& cut : resolved(2).cuts) dimensions[cut.state] = cut.dimension;
  EXPECT_EQ(dimensions.at("fc1.weight"), 1);
  EXPECT_EQ(dimensions.at("fc2.weight"), StateCut::kWhole);
  EXPECT_EQ(dimensions.at("fc2.bias"), StateCut::kWhole);
}

TEST_F(MeshPlans, KeepTheCutsOfAFormerStart) {
  job_.parallel.split = {{"fc1.weight", 1, 1}};
  const Plan former = resolved(2);
  job_.parallel.split.clear();
  EXPECT_NE(resolved(2).cuts, former.cuts);
  EXPECT_EQ(resolved(2, {.cuts = former.cuts}).cuts, former.cuts);
}

TEST_F(MeshPlans, EvaluationRunsOnAnyNumberOfRanks) {
  job_.parallel.data = 2;
  StepCompiler c = compiler();
  EXPECT_EQ(evaluation_plan(job_, 4, c, 8, std::nullopt).mesh.str(), "data=2 x tensor=2");
  EXPECT_EQ(evaluation_plan(job_, 3, c, 8, std::nullopt).mesh.str(), "data=3");
}

TEST_F(MeshPlans, RanksHoldLessThanOneDoes) {
  const auto states = [](const Program& p) {
    std::int64_t bytes = 0;
    for (const Buffer& b : p.buffers)
      if (b.kind == BufferKind::state) bytes += b.bytes;
    return bytes;
  };
  StepCompiler c = compiler();
  const PassSpec pass{8, 0, 8, Pass::only};
  const Plan two = resolved(2);
  job_.parallel.tensor = 1;
  const Plan one = resolved(1);
  const auto whole = states(c.training(pass, one, 0).lowered.program);
  for (const int rank : {0, 1}) EXPECT_LT(states(c.training(pass, two, rank).lowered.program), 0.6 * whole);
}

}  // namespace
}  // namespace weft
