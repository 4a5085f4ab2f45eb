// The importer on every file that its fuzzer kept: models, almost models, and what once made it fail.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/onnx_target.hpp"
#include "tests/support/patience.hpp"

namespace weft::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMostSeconds = 20;           ///< of one file
constexpr rlim_t kMostBytes = rlim_t{3} << 30;  ///< of address space
constexpr int kNotAModel = 2, kDefect = 4;

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// In a process of its own, with bounds on time and memory. Sanitizers map far more memory than they use.
int import_bounded(const std::string& bytes) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit memory{kMostBytes, kMostBytes};
    if (testing::kPatience == 1) setrlimit(RLIMIT_AS, &memory);
    alarm(kMostSeconds * testing::kPatience);
    try {
      _exit(import_bytes(std::as_bytes(std::span(bytes))).refusal.empty() ? 0 : kNotAModel);
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    _exit(kDefect);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(OnnxCorpus, EveryFileIsTakenOrRefusedInBoundedTimeAndMemory) {
  int taken = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator(WEFT_FUZZ_CORPUS)) {
    const int code = import_bounded(content(entry.path()));
    EXPECT_TRUE(code == 0 || code == kNotAModel) << entry.path() << " ends with " << code;
    taken += code == 0, refused += code == kNotAModel;
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

TEST(OnnxCorpus, WhereTensorsAreLeftInTheirFileNothingElseIsSaidOrRead) {
  for (const auto& entry : fs::directory_iterator(WEFT_FUZZ_CORPUS)) {
    const Imported lazily = import_path(entry.path(), 1), whole = import_path(entry.path(), std::int64_t{1} << 40);
    EXPECT_EQ(lazily.refusal, whole.refusal) << entry.path();
    EXPECT_EQ(lazily.initial_values, whole.initial_values) << entry.path();
  }
}

}  // namespace
}  // namespace weft::fuzz
