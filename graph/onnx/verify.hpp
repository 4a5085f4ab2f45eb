// ONNX backend-test cases: folders with `model.onnx` and `test_data_set_*/{input,output}_*.pb`.
//
// Outputs are compared as ONNX's own backend runner does: equal shapes and types, |got - want| <= 1e-7 + 1e-3 |want|
// (bfloat16: two units in the last place), NaN equal to NaN, infinities equal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

/// Computes a graph's fetches from its feeds and states, by name: the interpreter, or a device.
using Evaluator =
    std::function<std::map<std::string, Tensor>(const Graph& graph, const std::map<std::string, Tensor>& inputs)>;

enum class CaseStatus : std::uint8_t { pass, fail, unsupported };

struct CaseResult {
  std::filesystem::path folder;
  std::size_t suite = 0;  ///< which of the folders given to verify_folders it was found in
  CaseStatus status = CaseStatus::pass;
  std::string detail;                  ///< why it failed or is not supported; one line
  double max_error = 0;                ///< largest |got - want| over all outputs and data sets
  std::vector<std::string> operators;  ///< of the model, each once, with the domain where it is not the standard one
};

struct VerifyOptions {
  double relative_tolerance = 1e-3, absolute_tolerance = 1e-7;
  /// Cases with larger model or data files count as unsupported: for tests that must be quick.
  std::int64_t file_bytes = (std::int64_t{1} << 31) - 1;
};

/// One case. Never throws for what the case's files hold; SystemError when they cannot be read.
CaseResult verify_case(const std::filesystem::path& folder, const Evaluator& evaluator,
                       const VerifyOptions& options = {});

struct VerifySummary {
  std::vector<CaseResult> cases;  ///< sorted by folder, suite by suite
  int passed = 0, failed = 0, unsupported = 0;
  std::string str() const;  ///< "N passed, N failed, N unsupported"
};

/// Every case in these folders and below. `report` is called after each. Throws UserError when a folder is not there
/// or has no case in it.
VerifySummary verify_folders(const std::vector<std::filesystem::path>& folders, const Evaluator& evaluator,
                             const VerifyOptions& options = {},
                             const std::function<void(const CaseResult&)>& report = {});

/// A Markdown page: what passes, fails and is not supported, by operator and suite, and why. `suites` names the folders
/// that were given to verify_folders, `target` what computed.
std::string to_markdown(const VerifySummary& summary, const std::vector<std::string>& suites,
                        const std::string& target);

/// "pass  test_add", "fail  test_x: output 'y' ...": one line of a report.
std::string to_text(const CaseResult& result);

}  // namespace weft::onnx
