// ONNX's own backend tests (Debian: libonnx-testdata) through import and the interpreter.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/verify.hpp"

namespace weft::onnx {
namespace {

const std::filesystem::path kSuite = "/usr/share/libonnx-testdata/data";

VerifySummary run(const std::vector<std::filesystem::path>& folders) {
  VerifyOptions options;
  options.file_bytes = 4 << 20;  // the interpreter is slow: networks of real size are left out
  return verify_folders(
      folders, [](const Graph& graph, const std::map<std::string, Tensor>& inputs) { return interpret(graph, inputs); },
      options,
      [](const CaseResult& result) {
        if (result.status != CaseStatus::pass) fmt::print("{}\n", to_text(result));
        std::fflush(stdout);
      });
}

TEST(BackendSuite, NodeCasesPassOrSayWhyTheyAreNotSupported) {
  if (!std::filesystem::exists(kSuite)) GTEST_SKIP() << kSuite << " is not installed (Debian: libonnx-testdata)";
  const VerifySummary summary = run({kSuite / "node"});
  fmt::print("{}\n", summary.str());
  EXPECT_EQ(summary.failed, 0);
  EXPECT_GE(summary.passed, 893);
}

TEST(BackendSuite, ModelCasesPassOrSayWhyTheyAreNotSupported) {
  if (!std::filesystem::exists(kSuite)) GTEST_SKIP() << kSuite << " is not installed (Debian: libonnx-testdata)";
  const VerifySummary summary = run({kSuite / "simple", kSuite / "pytorch-converted", kSuite / "pytorch-operator"});
  fmt::print("{}\n", summary.str());
  EXPECT_EQ(summary.failed, 0);
  EXPECT_GE(summary.passed, 132);
}

}  // namespace
}  // namespace weft::onnx
