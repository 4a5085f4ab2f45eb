// weft verify: ONNX backend-test folders, a line a case, a count at the end.
#include "graph/onnx/verify.hpp"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "graph/ir/interpret.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/onnx/file_io.hpp"
#include "src/cli/verbs.hpp"
#include "src/devices/devices.hpp"
#include "src/executor/executor.hpp"

namespace weft::cli {
namespace {

using Values = std::map<std::string, Tensor>;

// Compiles a graph as a Program of its own and runs it once.
Values run_compiled(Device& device, const Graph& graph, const Values& inputs) {
  LoweringOptions options;
  options.role = "verify";
  options.arena = device.arena_space();
  Program program = lower(graph, device.oracle(), options).program;
  StateTable states(device);
  for (const GraphInput& input : graph.inputs())
    if (input.role == InputRole::state) states.add(input.name, inputs.at(input.name));
  KernelCache kernels(device);
  ArenaPool arena(device);
  for (const auto space : {MemorySpace::host, MemorySpace::pinned, MemorySpace::device})
    if (const auto bytes = program.arena_bytes[static_cast<std::size_t>(space)]; bytes > 0) arena.reserve(bytes, space);
  Executor executor(std::move(program), device, states, kernels, arena, nullptr);
  for (const GraphInput& input : graph.inputs())
    if (input.role != InputRole::state && executor.has_feed(input.name))
      executor.bind(input.name, inputs.at(input.name));
  executor.run(1);
  Values outputs;
  for (const GraphOutput& output : graph.outputs())
    if (output.role == OutputRole::fetch) outputs[output.name] = executor.fetch(output.name);
  return outputs;
}

nlohmann::ordered_json to_json(const onnx::VerifySummary& summary) {
  static constexpr const char* kStatus[] = {"pass", "fail", "unsupported"};
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const auto& c : summary.cases) {
    nlohmann::ordered_json one{{"folder", c.folder.string()}, {"status", kStatus[static_cast<int>(c.status)]}};
    if (c.status == onnx::CaseStatus::pass) one["max_error"] = c.max_error;
    if (!c.detail.empty()) one["detail"] = c.detail;
    cases.push_back(std::move(one));
  }
  return {{"passed", summary.passed},
          {"failed", summary.failed},
          {"unsupported", summary.unsupported},
          {"cases", std::move(cases)}};
}

}  // namespace

ExitCode run_verify(const Arguments& arguments) {
  Options options("verify", "Runs ONNX backend-test folders and compares the outputs with those stored there.");
  options.arguments("DIR", "folder of a case (model.onnx, test_data_set_*), or of such folders")
      .value("target", "TARGET", "what computes: a device, compiled as for training, or host, the interpreter", "cpu")
      .value("table", "FILE", "also writes a Markdown page: results by operator and DIR, and the reasons", "")
      .flag("json", "all results as JSON, at the end")
      .note("Exits with 2 when a case fails; cases that are not supported say why and do not count as failed.")
      .example("weft verify /usr/share/libonnx-testdata/data/node/test_add")
      .example("weft verify /usr/share/libonnx-testdata/data/node --target host")
      .example("weft verify onnx-1.12 onnx-1.23 --table operators.md");
  if (!options.parse(arguments)) return ExitCode::ok;
  const auto& target = options.text("target");
  std::unique_ptr<Device> device;
  onnx::Evaluator evaluate = interpret;
  if (target != "host") {
    device = make_device(target, {}, false);
    evaluate = [&](const Graph& graph, const Values& inputs) { return run_compiled(*device, graph, inputs); };
  }
  const auto given = options.texts("DIR");
  const bool json = options.has("json");
  const auto summary = onnx::verify_folders({given.begin(), given.end()}, evaluate, {}, [&](const onnx::CaseResult& c) {
    if (json) return;
    fmt::print("{}\n", onnx::to_text(c));
    std::fflush(stdout);
  });
  fmt::print("{}\n",
             json ? to_json(summary).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) : summary.str());
  if (const std::string table{options.text("table")}; !table.empty()) {
    std::vector<std::string> suites;
    for (const auto& folder : given)
      suites.push_back(std::filesystem::path(folder).lexically_normal().filename().string());
    onnx::write_file_atomically(table, onnx::to_markdown(summary, suites, std::string(target)));
  }
  return summary.failed == 0 ? ExitCode::ok : ExitCode::user;
}

}  // namespace weft::cli
