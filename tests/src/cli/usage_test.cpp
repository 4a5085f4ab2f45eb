// What the command line says to somebody who asks, or mistypes.
#include <gmock/gmock.h>

#include "tests/src/cli/run_weft.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The verbs of the help text, so that a new verb is tested without a word here.
std::vector<std::string> listed_verbs() {
  std::vector<std::string> verbs;
  const auto help = run_weft({"--help"}).out;
  for (std::size_t at = 0; (at = help.find("\n  ", at)) != std::string::npos; ++at)
    verbs.push_back(help.substr(at + 3, help.find(' ', at + 3) - at - 3));
  return verbs;
}

TEST(Usage, HelpGoesToStandardOutputAndSucceeds) {
  for (const std::vector<std::string>& ask : {std::vector<std::string>{}, {"--help"}, {"-h"}, {"help"}}) {
    const auto outcome = run_weft(ask);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("Usage: weft VERB"));
    EXPECT_THAT(outcome.err, IsEmpty());
  }
  EXPECT_THAT(listed_verbs(), ::testing::Contains("job"));
}

TEST(Usage, EveryVerbExplainsItselfWithExamples) {
  for (const auto& verb : listed_verbs()) {
    for (const std::vector<std::string>& ask : {std::vector<std::string>{verb, "--help"}, {"help", verb}}) {
      const auto outcome = run_weft(ask);
      EXPECT_EQ(outcome.code, 0) << verb;
      EXPECT_THAT(outcome.out, HasSubstr("Usage: weft " + verb));
      EXPECT_THAT(outcome.out, HasSubstr("\nExamples:\n  "));
      EXPECT_THAT(outcome.err, IsEmpty());
    }
  }
}

TEST(Usage, EveryVerbRefusesAnOptionItDoesNotHave) {
  for (const auto& verb : listed_verbs()) {
    const auto outcome = run_weft({verb, "--no-such-option"});
    EXPECT_EQ(outcome.code, 2) << verb;
    EXPECT_THAT(outcome.out, IsEmpty());
  }
}

// GCC's OpenMP library tells its settings when it starts.
constexpr const char* kTellSettings = "OMP_DISPLAY_ENV=verbose";

/// What a verb's process says of its OpenMP settings, started alone with these variables, whatever the tests run with.
std::string settings(const std::vector<std::string>& verb, const std::vector<std::string>& variables) {
  std::vector<std::string> command{"/usr/bin/env", "-u", "OMP_WAIT_POLICY", "-u", "GOMP_SPINCOUNT", kTellSettings};
  command.insert(command.end(), {"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_LOCAL_SIZE=1"});
  command.insert(command.end(), variables.begin(), variables.end());
  command.emplace_back(WEFT_BINARY);
  command.insert(command.end(), verb.begin(), verb.end());
  return run_program(command).err;
}

TEST(Usage, HowThreadsWaitIsChosenUnlessTheUserHas) {
  const std::vector<std::string> computing{"verify", "/nonexistent"};
  EXPECT_THAT(settings(computing, {"OMP_NUM_THREADS=1"}), HasSubstr("GOMP_SPINCOUNT = '10000'"));
  EXPECT_THAT(settings(computing, {"OMP_NUM_THREADS=1000"}), HasSubstr("GOMP_SPINCOUNT = '0'"))
      << "more threads than cores";
  EXPECT_THAT(settings(computing, {"OMP_NUM_THREADS=1", "GOMP_SPINCOUNT=77"}),
              ::testing::AllOf(HasSubstr("GOMP_SPINCOUNT = '77'"), Not(HasSubstr("'10000'"))));
  EXPECT_THAT(settings(computing, {"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=active"}), Not(HasSubstr("'10000'")));
  EXPECT_THAT(settings({"job", "--schema"}, {}), Not(HasSubstr("'10000'"))) << "nothing is computed";
}

TEST(Usage, VersionIsOneLine) {
  const auto outcome = run_weft({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex("weft [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Usage, AMistypedVerbIsAnsweredWithTheNearest) {
  const auto outcome = run_weft({"jbo"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_EQ(outcome.err, "weft: there is no verb 'jbo', did you mean 'job'?\n  See `weft --help` for the list.\n");
}

TEST(Usage, AMistypedOptionIsAnsweredWithTheNearest) {
  const auto outcome = run_weft({"job", "--shcema"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("job: there is no option '--shcema', did you mean '--schema'?"));
}

TEST(Usage, AnAbbreviatedOptionIsNotGuessed) { EXPECT_EQ(run_weft({"job", "--sche"}).code, 2); }

TEST(Usage, AnOptionBeforeTheVerbIsExplained) {
  const auto outcome = run_weft({"--json", "job"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("a verb comes first"));
}

TEST(Usage, TooManyTooFewAndRepeatedArgumentsAreNamed) {
  EXPECT_THAT(run_weft({"job", "a", "b"}).err, HasSubstr("'b' is one argument too many"));
  EXPECT_THAT(run_weft({"job"}).err, HasSubstr("name a job file"));
  EXPECT_THAT(run_weft({"job", "--schema", "--schema"}).err, HasSubstr("--schema is there twice"));
  EXPECT_THAT(run_weft({"job", "--set"}).err, HasSubstr("'--set' is missing"));
}

TEST(Usage, OtherRanksOfAQueryLeaveSilently) {
  for (const auto* variable : {"OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=3", "SLURM_PROCID=2"}) {
    const auto outcome = run_weft({"job", "--schema"}, {variable});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out + outcome.err, IsEmpty());
  }
}

}  // namespace
}  // namespace weft::testing
