// The driver: one loop over the list of passes.
#include "graph/lowering/lower.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "graph/lowering/passes.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_compilable(const Graph& graph) {
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::control)
      throw UserError("node '" + node.name + "' (" + std::string(name_of(node.op)) +
                      ") cannot be compiled yet: control flow runs on the host interpreter only");
}

void check_without(const std::vector<std::string>& without) {
  const std::vector<std::string> allowed = switchable_passes();
  for (const std::string& name : without)
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
      throw UserError(
          fmt::format("'{}' is no pass that can be left out; those are: {}", name, fmt::join(allowed, ", ")));
}

PassRecord run_pass(const lowering::Pass& pass, lowering::StepIr& step, const lowering::PassContext& context) {
  PassRecord record;
  record.name = pass.name;
  record.on = !pass.optional || context.on(pass.name);
  record.before = lowering::size_of(step);
  const bool dumped = context.options.dump == pass.name;
  if (dumped) record.input = lowering::str(step);
  const lowering::PassFunction function = record.on ? pass.run : pass.instead;
  if (function != nullptr) {
    const Clock::time_point start = Clock::now();
    function(step, context);
    record.seconds = seconds_since(start);
    const Clock::time_point done = Clock::now();
    try {
      lowering::verify(step);
    } catch (Error& e) {
      e.add_context(fmt::format("after the pass '{}'", pass.name));
      throw;
    }
    record.verify_seconds = seconds_since(done);
  }
  record.after = lowering::size_of(step);
  if (dumped) record.output = lowering::str(step);
  return record;
}

}  // namespace

std::vector<PassDescription> pass_list() {
  std::vector<PassDescription> list;
  for (const lowering::Pass& pass : lowering::passes()) list.push_back({pass.name, pass.summary, pass.optional});
  return list;
}

std::vector<std::string> switchable_passes() {
  std::vector<std::string> names;
  for (const lowering::Pass& pass : lowering::passes())
    if (pass.optional && std::find(names.begin(), names.end(), pass.name) == names.end()) names.emplace_back(pass.name);
  return names;
}

Lowered lower(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options) {
  check_compilable(graph);
  check_without(options.without);
  lowering::StepIr step;
  step.graph = graph;
  const lowering::PassContext context{oracle, options};
  Lowered result;
  for (const lowering::Pass& pass : lowering::passes()) result.passes.push_back(run_pass(pass, step, context));
  result.decisions = std::move(step.lowered.decisions);
  result.program = std::move(step.program);
  result.graph = std::move(step.once);
  return result;
}

Graph lower_graph(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options,
                  std::string_view last) {
  check_compilable(graph);
  check_without(options.without);
  lowering::StepIr step;
  step.graph = graph;
  const lowering::PassContext context{oracle, options};
  const auto all = lowering::passes();
  const auto end =
      std::find_if(all.rbegin(), all.rend(), [&](const lowering::Pass& pass) { return pass.name == last; });
  check_internal(end != all.rend(), "lower_graph: there is no such pass");
  for (const lowering::Pass& pass : all.first(static_cast<std::size_t>(all.rend() - end)))
    run_pass(pass, step, context);
  check_internal(step.form == lowering::Form::graph, "lower_graph: the pass is not one over graphs");
  return std::move(step.graph);
}

}  // namespace weft
