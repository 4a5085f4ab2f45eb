// weft compile: what it says of jobs and models, and that it runs nothing.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

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

TEST_F(CompileVerb, ExplainGroupsEqualKernelsAndSaysWhoTookThemAndWhyOthersRefused) {
  const auto report = json({"--explain"});
  for (const auto& program : report["programs"]) {
    const auto& explained = program["explain"];
    std::int64_t kernels = 0, launches = 0, totals = 0;
    for (const auto& [name, count] : program["kernels"].items()) kernels += count.get<std::int64_t>();
    double milliseconds = 0, former = 1e300;
    bool refused = false;
    for (const auto& g : explained["groups"]) {
      launches += static_cast<std::int64_t>(g["launches"].size());
      milliseconds += g["estimated_ms"].get<double>();
      EXPECT_LE(g["estimated_ms"].get<double>(), former) << "by falling time";
      former = g["estimated_ms"];
      EXPECT_FALSE(g["operators"].empty());
      for (const auto& r : g["refusals"]) {
        refused = true;
        EXPECT_NE(r["reason"], "");
      }
    }
    for (const auto& t : explained["implementations"]) totals += t["launches"].get<std::int64_t>();
    EXPECT_EQ(launches, kernels);
    EXPECT_EQ(totals, kernels);
    EXPECT_NEAR(milliseconds, program["kernels_ms"], 1e-9);
    EXPECT_TRUE(refused);
    EXPECT_EQ(explained["reorders"]["launches"], program["reorders"]);
    EXPECT_LE(explained["peak"]["bytes"], program["liveness_bound_bytes"]) << "which rounds up";
    EXPECT_GT(explained["peak"]["bytes"], 0);
    std::int64_t bytes = 0;
    for (const auto& buffer : explained["peak"]["buffers"]) {
      bytes += buffer["bytes"].get<std::int64_t>();
      EXPECT_LE(buffer["made_at"], explained["peak"]["instruction"]);
      EXPECT_GE(buffer["last_read_at"], explained["peak"]["instruction"]);
    }
    EXPECT_EQ(bytes, explained["peak"]["bytes"]);
  }
  const Outcome text = job.run("compile", {"--explain"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("plan: data=1, batch 8"), HasSubstr("liveness bound"), HasSubstr("refused: "),
                              HasSubstr("matrix product"), HasSubstr("reorders move"), HasSubstr("most lives at"),
                              HasSubstr("last read at")));
}

TEST_F(CompileVerb, DumpsEachStageOnTheWay) {
  EXPECT_THAT(job.run("compile", {"--dump", "graph"}).out,
              AllOf(HasSubstr("# train 8 of 8"), HasSubstr("cross_entropy")));
  EXPECT_THAT(job.run("compile", {"--dump", "graph", "--ranks", "2"}).out, Not(HasSubstr("all_reduce")));
  EXPECT_THAT(job.run("compile", {"--dump", "program"}).out, HasSubstr("program \"train 8 of 8\""));
  const Outcome mistyped = job.run("compile", {"--dump", "programm"});
  EXPECT_EQ(mistyped.code, 2);
  EXPECT_THAT(mistyped.err, HasSubstr("did you mean 'program'?"));
}

TEST_F(CompileVerb, DumpsWhatEveryPassWasGivenAndWhatItMade) {
  const std::string list = job.run("compile", {"--dump", "list"}).out;
  EXPECT_THAT(list, AllOf(HasSubstr("decompose"), HasSubstr("fuse"), HasSubstr("cannot be left out")));
  EXPECT_EQ(run_weft({"compile", "--dump", "list"}, {}, job.folder()).out, list);
  const std::string partition = job.run("compile", {"--dump", "partition", "--ranks", "2"}).out;
  EXPECT_THAT(partition.substr(0, partition.find("## after")), Not(HasSubstr("all_reduce")));
  EXPECT_THAT(partition.substr(partition.find("## after")), HasSubstr("all_reduce"));
  const std::string decompose = job.run("compile", {"--dump", "decompose"}).out;
  EXPECT_THAT(decompose.substr(0, decompose.find("## after")), HasSubstr("cross_entropy"));
  EXPECT_THAT(decompose, HasSubstr("reduce_max"));
  std::istringstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    const std::string pass = line.substr(0, line.find(' '));
    const Outcome outcome = job.run("compile", {"--dump", pass});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("# evaluate 1\n"));
    const bool form = pass == "graph" || pass == "program";
    EXPECT_EQ(outcome.out.find("## before " + pass) == std::string::npos, form);
    EXPECT_EQ(outcome.out.find("## after " + pass) == std::string::npos, form);
  }
}

TEST_F(CompileVerb, SaysWhatEachPassChanged) {
  const auto program = json()["programs"][0];
  const auto& passes = program["passes"];
  ASSERT_GT(passes.size(), 10u);
  EXPECT_EQ(passes.back()["after"]["bytes"], program["arena_bytes"]);
  EXPECT_EQ(passes.back()["after"]["units"], program["instructions"]);
  for (std::size_t i = 1; i < passes.size(); ++i) EXPECT_EQ(passes[i]["before"], passes[i - 1]["after"]);
  EXPECT_THAT(job.run("compile", {"--passes"}).out, AllOf(HasSubstr("passes of 'train 8 of 8'"), HasSubstr("fuse")));
}

TEST_F(CompileVerb, PassesAreLeftOutByName) {
  const auto with = json()["programs"][0];
  const auto without = json({"--without", "fuse,memory"})["programs"][0];
  EXPECT_GT(without["instructions"], with["instructions"]);
  EXPECT_GT(without["arena_bytes"], without["liveness_bound_bytes"]);
  for (const auto& p : without["passes"]) EXPECT_EQ(p["on"], p["pass"] != "fuse" && p["pass"] != "memory");
  EXPECT_EQ(json({"--set", "compile.without=[fuse, memory]"})["programs"][0]["instructions"], without["instructions"]);
  EXPECT_EQ(job.run("compile", {"--without", "emit"}).code, 2);
  EXPECT_THAT(run_weft({"compile", "model.onnx", "--without", "fuze"}, {}, job.folder()).err,
              HasSubstr("'fuze' is no pass that can be left out, did you mean 'fuse'? (those that can: fold,"));
  EXPECT_THAT(job.run("compile", {"--without", "fuze"}).err, HasSubstr("weft: --without fuze: "));
}

TEST_F(CompileVerb, AModelIsCompiledForInference) {
  const Outcome outcome = run_weft({"compile", "model.onnx", "--batch", "5"}, {}, job.folder());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("program 'predict 5'"), HasSubstr("matrix product"), Not(HasSubstr("plan:"))));
  EXPECT_EQ(run_weft({"compile", "model.onnx", "--ranks", "2"}, {}, job.folder()).code, 2);
  EXPECT_THAT(run_weft({"compile", "model.onnx", "--dim", "T=3"}, {}, job.folder()).err,
              HasSubstr("no open dimension of that name; it has N"));
}

TEST_F(CompileVerb, WhatIsNeitherAModelNorAJobIsRefused) {
  EXPECT_EQ(run_weft({"compile", "train.h5"}, {}, job.folder()).code, 2);
  EXPECT_THAT(run_weft({"compile", "--explain"}, {}, job.folder()).err, HasSubstr("FILE is missing"));
  const Outcome unready = job.run("compile", {"--set", "parallel.pipeline=2"});
  EXPECT_EQ(unready.code, 2);
  EXPECT_THAT(unready.err, AllOf(HasSubstr("parallel.pipeline: 2 "), HasSubstr("remove it"), Not(HasSubstr("zero:"))));
  EXPECT_EQ(run_weft({"job", "job.yaml", "--set", "parallel.pipeline=2"}, {}, job.folder()).err, unready.err);
  EXPECT_EQ(job.run("compile", {"--dump", "graph", "--json"}).code, 2);
  std::filesystem::remove(job.path("train.h5"));
  EXPECT_EQ(job.run("compile").code, 3);
}

}  // namespace
}  // namespace weft::testing
