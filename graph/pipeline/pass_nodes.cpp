// One walk backwards from the loss, one forwards from the states.
#include "graph/pipeline/pass_nodes.hpp"

#include <algorithm>

#include "graph/pipeline/stages.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

bool may_be_cheap(const Node& node) {
  if (node.op == Op::random_bits || !node.bodies.empty()) return false;
  switch (class_of(node.op)) {
    case OpClass::source:
    case OpClass::unary:
    case OpClass::binary:
    case OpClass::compare:
    case OpClass::ternary:
    case OpClass::movement: return true;
    default: return is_pointwise(node.op);
  }
}

std::vector<bool> forward_nodes(const Graph& pass) {
  const std::string loss = std::string(kAccumulated) + "sum/loss";
  const ValueId sum = pass.find_output(loss);
  check_internal(sum != kNone, "a pass of a pipeline has no output '" + loss + "'");
  std::vector<bool> wanted(pass.values().size(), false), forward(pass.nodes().size(), false);
  wanted[static_cast<std::size_t>(sum)] = true;
  for (auto n = static_cast<NodeId>(pass.nodes().size()); n-- > 0;) {
    const Node& node = pass.node(n);
    if (std::none_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId v) { return wanted[static_cast<std::size_t>(v)]; }))
      continue;
    forward[static_cast<std::size_t>(n)] = true;
    for (const ValueId v : node.inputs) wanted[static_cast<std::size_t>(v)] = true;
  }
  return forward;
}

}  // namespace

PassNodes::PassNodes(const Graph& pass, bool all_forward)
    : forward_(all_forward ? std::vector<bool>(pass.nodes().size(), true) : forward_nodes(pass)),
      cheap_(pass.nodes().size(), false),
      states_(pass.values().size()) {
  std::vector<bool> made_of_states(pass.values().size(), false);
  for (const GraphInput& i : pass.inputs()) {
    if (i.role != InputRole::state || i.name.starts_with(kAccumulated)) continue;
    made_of_states[static_cast<std::size_t>(i.value)] = true;
    states_[static_cast<std::size_t>(i.value)].insert(i.name);
  }
  for (std::size_t n = 0; n < pass.nodes().size(); ++n) {
    const Node& node = pass.nodes()[n];
    if (!may_be_cheap(node) || !std::all_of(node.inputs.begin(), node.inputs.end(),
                                            [&](ValueId v) { return made_of_states[static_cast<std::size_t>(v)]; }))
      continue;
    cheap_[n] = true;
    for (const ValueId v : node.outputs) {
      made_of_states[static_cast<std::size_t>(v)] = true;
      states_[static_cast<std::size_t>(v)] = states_of(node);
    }
  }
}

std::set<std::string> PassNodes::states_of(const Node& node) const {
  std::set<std::string> result;
  for (const ValueId v : node.inputs) {
    const std::set<std::string>& of = states_of(v);
    result.insert(of.begin(), of.end());
  }
  return result;
}

ValueId added_to_state(const Graph& pass, const GraphOutput& accumulated) {
  const ValueId before = pass.find_input(accumulated.name);
  const Node* sum = pass.producer(accumulated.value);
  const bool adds = before != kNone && sum != nullptr && sum->op == Op::add &&
                    (sum->inputs[0] == before) != (sum->inputs[1] == before);
  check_internal(adds, "'" + accumulated.name + "' is not a sum of itself and something");
  return sum->inputs[sum->inputs[0] == before ? 1 : 0];
}

}  // namespace weft
