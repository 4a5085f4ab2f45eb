// weft verify: ONNX backend-test folders, a line a case, a count at the end.
#include "graph/onnx/verify.hpp"

#include <cstdio>

#include "fmt/format.h"
#include "graph/ir/interpret.hpp"
#include "src/cli/verbs.hpp"

namespace weft::cli {

ExitCode run_verify(const Arguments& arguments) {
  Options options("verify", "Runs ONNX backend-test folders and compares the outputs with those stored there.");
  options.arguments("DIR", "folder of a case (model.onnx, test_data_set_*), or of such folders")
      .value("target", "TARGET", "what computes: host, the interpreter", "host")
      .note("Exits with 2 when a case fails; cases that are not supported say why and do not count as failed.")
      .example("weft verify /usr/share/libonnx-testdata/data/node/test_add");
  if (!options.parse(arguments)) return ExitCode::ok;
  if (options.text("target") != "host")
    throw UserError(fmt::format("verify: there is no target '{}'; this version has: host", options.text("target")));
  const auto given = options.texts("DIR");
  const auto summary = onnx::verify_folders({given.begin(), given.end()}, interpret, {}, [](const onnx::CaseResult& c) {
    fmt::print("{}\n", onnx::to_text(c));
    std::fflush(stdout);
  });
  fmt::print("{}\n", summary.str());
  return summary.failed == 0 ? ExitCode::ok : ExitCode::user;
}

}  // namespace weft::cli
