// The operator table, and the replacement of composites by their decompositions.
#include "graph/ir/op_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/placement.hpp"
#include "graph/ir/passes/rewrite.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Table = std::array<OpRules, kOpCount>;

Table make_table() {
  using Family = std::vector<OpRules> (*)();
  constexpr Family kFamilies[] = {
      ops::source_rules,    ops::unary_rules,         ops::binary_rules,     ops::compare_rules,
      ops::shape_rules,     ops::extent_rules,        ops::gather_rules,     ops::scatter_rules,
      ops::reduction_rules, ops::scan_rules,          ops::dot_rules,        ops::convolution_rules,
      ops::window_rules,    ops::control_rules,       ops::collective_rules, ops::activation_rules,
      ops::softmax_rules,   ops::normalisation_rules, ops::dropout_rules,    ops::attention_rules};
  Table table{};
  for (const Family family : kFamilies)
    for (const OpRules& rules : family()) {
      OpRules& row = table[static_cast<std::size_t>(rules.op)];
      check_internal(row.infer == nullptr, fmt::format("operator {} is stated twice", name_of(rules.op)));
      check_internal(rules.infer != nullptr, fmt::format("operator {} has no type rule", name_of(rules.op)));
      row = rules;
    }
  for (int i = 0; i < kOpCount; ++i) {
    const bool composite = class_of(static_cast<Op>(i)) == OpClass::composite;
    check_internal((table[static_cast<std::size_t>(i)].decompose != nullptr) == composite,
                   fmt::format("exactly composites decompose: {}", name_of(static_cast<Op>(i))));
    check_internal(table[static_cast<std::size_t>(i)].infer != nullptr,
                   fmt::format("operator {} is not in the table", name_of(static_cast<Op>(i))));
    table[static_cast<std::size_t>(i)].placement = ops::placement_rule(static_cast<Op>(i));
  }
  return table;
}

}  // namespace

const OpRules& rules_of(Op op) {
  static const Table table = make_table();
  return table.at(static_cast<std::size_t>(op));
}

namespace {

bool has_composite(const Graph& graph, const std::function<bool(const Node&)>& keep) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&](const Node& node) {
    return (class_of(node.op) == OpClass::composite && !keep(node)) ||
           std::any_of(node.bodies.begin(), node.bodies.end(), [&](const Graph& b) { return has_composite(b, keep); });
  });
}

}  // namespace

Graph decompose(const Graph& graph, const std::function<bool(const Node&)>& keep) {
  Graph result = graph;
  while (has_composite(result, keep))  // a decomposition may hold simpler composites
    result = rewritten(result, [&](GraphBuilder& builder, const Node& node) -> std::optional<std::vector<ValueId>> {
      if (class_of(node.op) != OpClass::composite || keep(node)) return std::nullopt;
      return rules_of(node.op).decompose(builder, node);
    });
  return result;
}

}  // namespace weft
