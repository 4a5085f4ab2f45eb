// weft compile: what it says of jobs and models, and that it runs nothing.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/src/cli/small_job.hpp"

namespace weft::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CompileVerb : public ::testing::Test {
 protected:
  nlohmann::json json(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = job.run("compile", arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  }
  static std::int64_t count_of(const nlohmann::json& program, const std::string& name) {
    for (const auto& c : program["classes"])
      if (c["class"] == name) return c["instructions"];
    return 0;
  }
  SmallJob job;
};

TEST_F(CompileVerb, AJobHasProgramsOfFullAndTailStepsAndOfItsEvaluation) {
  const auto report = json();
  std::vector<std::string> roles;
  for (const auto& p : report["programs"]) roles.push_back(p["role"]);
  EXPECT_THAT(roles, ::testing::ElementsAre("train 8 of 8", "train 6 of 6", "evaluate 8", "evaluate 1"));
  EXPECT_EQ(report["plan"]["global_batch"], 8);
  EXPECT_FALSE(std::filesystem::exists(job.path("runs")));
}

TEST_F(CompileVerb, TotalsAddUp) {
  const auto report = json();
  for (const auto& p : report["programs"]) {
    std::int64_t instructions = 0, kernels = 0;
    double milliseconds = 0;
    for (const auto& c : p["classes"]) {
      instructions += c["instructions"].get<std::int64_t>();
      milliseconds += c["estimated_ms"].get<double>();
    }
    for (const auto& [name, count] : p["kernels"].items()) kernels += count.get<std::int64_t>();
    EXPECT_EQ(instructions, p["instructions"]);
    EXPECT_LE(kernels, instructions);
    EXPECT_GT(kernels, 0);
    EXPECT_NEAR(milliseconds, p["predicted_ms"], 1e-9) << "alone, one instruction runs after the other";
    EXPECT_LE(p["kernels_ms"].get<double>(), milliseconds);
    EXPECT_LE(p["liveness_bound_bytes"], p["arena_bytes"]);
    EXPECT_LE(p["predicted_low_ms"], p["predicted_ms"]);
    EXPECT_LE(p["arena_bytes"], report["memory"]["arena_bytes"]);
  }
  // Two layers, 16x8+8 and 8x3+3 parameters, each with a momentum, all f32; then a few scalars.
  EXPECT_GE(report["memory"]["state_bytes"], 4 * 2 * (16 * 8 + 8 + 8 * 3 + 3));
  EXPECT_LE(report["memory"]["state_bytes"], 4 * 2 * (16 * 8 + 8 + 8 * 3 + 3) + 64);
}

TEST_F(CompileVerb, TheFlopsOfAPerceptronsStepAreThoseOfItsProducts) {
  const auto step = json()["programs"][0];
  double flops = 0;
  for (const auto& c : step["classes"])
    if (c["class"] == "matrix product") flops = c["flops"];
  // Forward and the gradients of both weights and of the hidden layer; the input needs none.
  EXPECT_EQ(flops, 2 * 8 * (2 * 16 * 8 + 3 * 8 * 3));
}

TEST_F(CompileVerb, OnSeveralRanksGradientsAreReduced) {
  EXPECT_EQ(count_of(json()["programs"][0], "all-reduce"), 0);
  const auto two = json({"--ranks", "2"});
  EXPECT_GT(count_of(two["programs"][0], "all-reduce"), 0);
  EXPECT_EQ(count_of(two["programs"][0], "all-reduce"), count_of(two["programs"][0], "wait"));
}

TEST_F(CompileVerb, ExplainNamesWhoTookEachKernelAndWhyOthersRefused) {
  const auto report = json({"--explain"});
  const auto& program = report["programs"][0];
  std::int64_t kernels = 0;
  for (const auto& [name, count] : program["kernels"].items()) kernels += count.get<std::int64_t>();
  EXPECT_EQ(program["decisions"].size(), kernels);
  bool refused = false;
  for (const auto& d : program["decisions"])
    for (const auto& r : d["refusals"]) {
      refused = true;
      EXPECT_NE(r["reason"], "");
    }
  EXPECT_TRUE(refused);
  const Outcome text = job.run("compile", {"--explain"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("plan: data=1, batch 8"), HasSubstr("liveness bound"), HasSubstr("refused: "),
                              HasSubstr("matrix product")));
}

TEST_F(CompileVerb, DumpsEachStageOnTheWay) {
  EXPECT_THAT(job.run("compile", {"--dump", "graph"}).out,
              AllOf(HasSubstr("# train 8 of 8"), HasSubstr("cross_entropy")));
  EXPECT_THAT(job.run("compile", {"--dump", "graph", "--ranks", "2"}).out, Not(HasSubstr("all_reduce")));
  EXPECT_THAT(job.run("compile", {"--dump", "partition", "--ranks", "2"}).out, HasSubstr("all_reduce"));
  EXPECT_THAT(job.run("compile", {"--dump", "simplify"}).out,
              AllOf(HasSubstr("dot_general"), Not(HasSubstr("cross_entropy"))));
  EXPECT_THAT(job.run("compile", {"--dump", "program"}).out, HasSubstr("program \"train 8 of 8\""));
  const Outcome mistyped = job.run("compile", {"--dump", "programm"});
  EXPECT_EQ(mistyped.code, 2);
  EXPECT_THAT(mistyped.err, HasSubstr("did you mean 'program'?"));
}

TEST_F(CompileVerb, AModelIsCompiledForInference) {
  const Outcome outcome = run_weft({"compile", "model.onnx", "--batch", "5"}, {}, job.folder());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("program 'predict 5'"), HasSubstr("matrix product"), Not(HasSubstr("plan:"))));
  EXPECT_EQ(run_weft({"compile", "model.onnx", "--dump", "partition"}, {}, job.folder()).code, 2);
  EXPECT_EQ(run_weft({"compile", "model.onnx", "--ranks", "2"}, {}, job.folder()).code, 2);
  EXPECT_THAT(run_weft({"compile", "model.onnx", "--dim", "T=3"}, {}, job.folder()).err,
              HasSubstr("no open dimension of that name; it has N"));
}

TEST_F(CompileVerb, WhatIsNeitherAModelNorAJobIsRefused) {
  EXPECT_EQ(run_weft({"compile", "train.h5"}, {}, job.folder()).code, 2);
  EXPECT_EQ(job.run("compile", {"--set", "parallel.tensor=2"}).code, 2);
  EXPECT_EQ(job.run("compile", {"--dump", "graph", "--json"}).code, 2);
  std::filesystem::remove(job.path("train.h5"));
  EXPECT_EQ(job.run("compile").code, 3);
}

}  // namespace
}  // namespace weft::testing
