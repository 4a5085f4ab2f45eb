// Ranks that go wrong in random ways all end with an error that says what is wrong: see mismatches.cpp.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/patience.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

/// WEFT_MISMATCHES in all; sixty unless told.
int cases() {
  const char* wanted = std::getenv("WEFT_MISMATCHES");
  return wanted != nullptr ? std::atoi(wanted) : 60;
}

// A job holds on to the memory of all its failures: not too many in one.
constexpr int kCasesOfAJob = 50;

class Mismatches : public ::testing::TestWithParam<int> {};

TEST_P(Mismatches, AreNamedOnEveryRankAndNothingHangs) {
  const int ranks = GetParam(), all = (cases() + 2) / 3;
  const weft::testing::TemporaryFolder folder;
  for (int first = 0; first < all; first += kCasesOfAJob) {
    const int times = std::min(kCasesOfAJob, all - first);
    const std::string command =
        fmt::format("timeout {} {} {} {} {} {} {} 2>&1", weft::testing::kPatience * (30 + 3 * times), MPIRUN, ranks,
                    MISMATCHES, folder.path().string(), first, times);
    std::FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
    EXPECT_NE(WEXITSTATUS(pclose(pipe)), 124) << "it hung";  // its ranks leave without ending MPI
    EXPECT_THAT(output, ::testing::EndsWith(fmt::format("{} of {}\n", times, times)));
    std::fputs(output.c_str(), stdout);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Mismatches, ::testing::Values(2, 3, 4));

}  // namespace
