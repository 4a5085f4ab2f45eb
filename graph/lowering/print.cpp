// Forms as text, for `weft compile --dump`.
#include <fmt/format.h>

#include "graph/lowering/passes.hpp"

namespace weft::lowering {
namespace {

constexpr const char* kUnitKinds[] = {"kernel", "view", "collective"};
constexpr const char* kTensorKinds[] = {"arena", "state", "constant", "feed", "fetch"};

std::string values(const Graph& graph, const std::vector<ValueId>& ids) {
  std::vector<std::string> texts;
  for (const ValueId v : ids) texts.push_back(fmt::format("%{}:{}", v, graph.type(v).str()));
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string str_of_units(const Graph& graph, const std::vector<Unit>& units) {
  std::string text;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const Unit& unit = units[u];
    std::vector<std::string_view> ops;
    for (const NodeId n : unit.nodes) ops.push_back(name_of(graph.node(n).op));
    text += fmt::format("{:>5} {:<10} {} <- {}  {{{}}}  # {}\n", u, kUnitKinds[static_cast<int>(unit.kind)],
                        values(graph, unit.outputs), values(graph, unit.inputs), fmt::join(ops, ", "), unit.name);
  }
  return text;
}

std::string tensor(const LoweredGraph& graph, int t) {
  const LoweredTensor& tensor = graph.tensor(t);
  const int root = graph.root(t);
  const LoweredTensor& memory = graph.tensor(root);
  std::string text = fmt::format("t{}:{}{}", t, name_of(tensor.dtype),
                                 tensor.layout.is_row_major() ? tensor.layout.shape.str() : tensor.layout.str());
  if (root != t) text += fmt::format(" in t{}+{}", root, tensor.offset);
  if (memory.kind != BufferKind::arena)
    text += fmt::format(" ({} '{}')", kTensorKinds[static_cast<int>(memory.kind)], memory.name);
  return text;
}

std::string str_of_unit(const LoweredGraph& graph, int u) {
  const LoweredUnit& unit = graph.unit(u);
  const auto list = [&](const std::vector<int>& tensors) {
    std::vector<std::string> texts;
    for (const int t : tensors) texts.push_back(tensor(graph, t));
    return fmt::format("{}", fmt::join(texts, ", "));
  };
  return fmt::format("u{:<5} {:<10} {} <- {}  {}  # {}\n", u, kUnitKinds[static_cast<int>(unit.kind)],
                     list(unit.outputs), list(unit.inputs), unit.spec.implementation, unit.name);
}

std::string str_of_ends(const LoweredGraph& graph) {
  std::string text;
  for (const auto& [name, t] : graph.state_updates) text += fmt::format("state \"{}\" = {}\n", name, tensor(graph, t));
  for (const auto& [name, t] : graph.fetches) text += fmt::format("fetch \"{}\" = {}\n", name, tensor(graph, t));
  return text;
}

std::string str_of_step(const LoweredGraph& graph, const Step& step) {
  switch (step.kind) {
    case Step::Kind::run: return str_of_unit(graph, step.unit);
    case Step::Kind::wait: return fmt::format("wait for u{}\n", step.unit);
    case Step::Kind::copy_state: break;
  }
  return fmt::format("copy to state \"{}\"\n", graph.state_updates[index(step.update)].first);
}

}  // namespace

std::string str(const StepIr& step) {
  std::string text;
  switch (step.form) {
    case Form::graph: return step.graph.str();
    case Form::units: return str_of_units(step.graph, step.units);
    case Form::tensors:
      for (int u = 0; u < static_cast<int>(step.lowered.units.size()); ++u) text += str_of_unit(step.lowered, u);
      return text + str_of_ends(step.lowered);
    case Form::schedule:
      for (const Step& s : step.steps) text += str_of_step(step.lowered, s);
      return text + str_of_ends(step.lowered);
    case Form::program: break;
  }
  return step.program.str();
}

}  // namespace weft::lowering
