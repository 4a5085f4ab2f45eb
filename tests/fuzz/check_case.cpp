// Running and comparing.
#include "tests/fuzz/check_case.hpp"

#include <fmt/format.h>

#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/attention.hpp"
#include "tests/fuzz/error_bounds.hpp"
#include "tests/support/run_compiled.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

using Tensors = std::map<std::string, Tensor>;

Verdict compared(const Graph& graph, const Tensors& got, const std::map<std::string, Bounded>& want, const char* when,
                 Tally* tally) {
  for (const GraphOutput& o : graph.outputs()) {
    std::int64_t elements = 0, determined = 0;
    const std::string wrong =
        violation(got.at(o.name), graph.type(o.value).dtype, want.at(o.name), &elements, &determined);
    if (tally != nullptr) tally->elements += elements, tally->determined += determined;
    if (!wrong.empty()) return {fmt::format("{}: output '{}' {}", when, o.name, wrong), o.name};
  }
  return {};
}

/// The states that a step left in the place of those that it began with.
Tensors after(const Graph& graph, Tensors inputs, const Tensors& outputs) {
  for (const GraphOutput& o : graph.outputs())
    if (o.role == OutputRole::state) inputs[o.name] = outputs.at(o.name);
  return inputs;
}

bool updates_states(const Graph& graph) {
  for (const GraphOutput& o : graph.outputs())
    if (o.role == OutputRole::state) return true;
  return false;
}

}  // namespace

Verdict check_interpreter(const Case& c) {
  try {
    return compared(c.graph, interpret(c.graph, c.inputs), bounded(c.graph, c.inputs), "the interpreter", nullptr);
  } catch (const std::exception& e) {
    return {fmt::format("the interpreter throws: {}", e.what()), {}};
  }
}

Verdict check_device(const Case& c, Device& device, Tally* tally) {
  try {
    LoweringOptions options;
    options.compute = c.compute;
    testing::CompiledGraph compiled(c.find_attention ? with_attention(c.graph) : c.graph, c.inputs, device, options);
    // Narrowing changes values. What it made is held to; that it changes little is for tests of the pass.
    const Graph& meant = c.compute == DType::f32 ? c.graph : compiled.lowered().graph;
    if (tally != nullptr) ++tally->runs;
    compiled.fill_arena(0xff);  // NaN in every float type
    Tensors inputs = c.inputs, got = compiled.run(inputs, 1);
    if (Verdict v = compared(meant, got, bounded(meant, inputs), "first step", tally); !v.failure.empty()) return v;
    if (!updates_states(c.graph)) return {};
    compiled.fill_arena(0x7b);  // large numbers
    inputs = after(c.graph, std::move(inputs), got);
    got = compiled.run(inputs, 2);
    return compared(meant, got, bounded(meant, inputs), "second step", tally);
  } catch (const std::exception& e) {
    return {fmt::format("throws: {}", e.what()), {}};
  }
}

}  // namespace weft::fuzz
