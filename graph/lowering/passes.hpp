// The list of passes: everything between a step graph and its Program, as data over which one driver loops.
//
// To add a pass: a function from form to form in a file of its own, and a line in passes.cpp. It is then timed,
// verified, dumped and shown by `weft compile`; if it may be left out, say what stands in for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/lowering/lower.hpp"
#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"
#include "weft/program.hpp"

namespace weft::lowering {

/// The forms that a step takes on its way, each made from the one before.
enum class Form : std::uint8_t { graph, units, tensors, schedule, program };

/// A step on its way: what `form` names is current, earlier forms are kept where later passes look at them.
struct StepIr {
  Form form = Form::graph;
  Graph graph;
  bool even = true;                          ///< no axis of parameters leaves ranks parts of different extents
  Graph once;                                ///< the graph before anything was computed twice
  std::vector<std::vector<NodeId>> alone;    ///< nodes that are a kernel of their own, whatever else is fused
  std::vector<std::vector<NodeId>> buckets;  ///< of collectives
  std::vector<Unit> units;
  LoweredGraph lowered;
  std::vector<Step> steps;
  Program program;
};

struct PassContext {
  const KernelOracle& oracle;
  const LoweringOptions& options;
  bool on(std::string_view pass) const;  ///< not switched off
};

using PassFunction = void (*)(StepIr& step, const PassContext& context);

struct Pass {
  const char* name;     ///< a name that stands twice is one switch for both
  const char* summary;  ///< one line
  PassFunction run;
  bool optional = false;           ///< results are right without it too
  PassFunction instead = nullptr;  ///< what runs where it is switched off; nullptr: nothing
};

/// In the order in which they run.
std::span<const Pass> passes();

/// How large a form is.
PassSize size_of(const StepIr& step);
/// Throws InternalError where the current form is not sound.
void verify(const StepIr& step);
/// The current form, readable.
std::string str(const StepIr& step);

}  // namespace weft::lowering
