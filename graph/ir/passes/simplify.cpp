// The walk, and the search for equal nodes.
#include "graph/ir/passes/simplify.hpp"

#include <unordered_map>
#include <vector>

#include "graph/ir/passes/prune.hpp"
#include "graph/ir/passes/rewrite.hpp"
#include "graph/ir/passes/simplify_rules.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

using simplification::Rule;

/// In the order in which they are tried. Each leaves less to compute, so a walk ends.
constexpr Rule kFolding[] = {simplification::recognise_splat, simplification::fold_splats,
                             simplification::fold_constants};
constexpr Rule kIdentities[] = {simplification::drop_neutral_operand, simplification::drop_double_inversion,
                                simplification::drop_identity, simplification::compose_movements,
                                simplification::resolve_select};

/// The nodes of one graph under construction, to find an equal one again.
class Known {
 public:
  /// The results of an equal node, or nullptr.
  const std::vector<ValueId>* find(const Graph& graph, const Node& node, std::uint64_t hash) const {
    const auto [first, last] = nodes_.equal_range(hash);
    for (auto it = first; it != last; ++it)
      if (const Node& other = graph.node(it->second); equal(node, other)) return &other.outputs;
    return nullptr;
  }
  void add(std::uint64_t hash, NodeId id) { nodes_.emplace(hash, id); }

  static bool may_merge(const Node& node) {
    return class_of(node.op) != OpClass::collective && class_of(node.op) != OpClass::control;
  }
  /// Attributes take no part: few nodes differ in nothing else.
  static std::uint64_t hash(const Node& node) {
    Hash64 hash;
    hash.update(std::as_bytes(std::span(&node.op, 1)));
    hash.update(std::as_bytes(std::span(node.inputs)));
    if (node.literal) hash.update(std::span(node.literal->data(), node.literal->bytes()));
    return hash.digest();
  }

 private:
  static bool equal(const Node& a, const Node& b) {
    return a.op == b.op && a.inputs == b.inputs && a.attributes == b.attributes &&
           a.literal.has_value() == b.literal.has_value() && (!a.literal || a.literal->identical(*b.literal));
  }

  std::unordered_multimap<std::uint64_t, NodeId> nodes_;  // no two of them are equal, so their order is no matter
};

/// Adds nodes of one graph, or finds what they equal.
class Simplifier {
 public:
  explicit Simplifier(const Simplifications& rules) : merging_(rules.merging) {
    if (rules.folding)
      for (const Rule rule : kFolding) rules_.push_back(rule);
    if (rules.identities)
      for (const Rule rule : kIdentities) rules_.push_back(rule);
  }

  std::vector<ValueId> add(GraphBuilder& builder, Node node) {
    const std::function<ValueId(Node)> emit = [&](Node other) { return add(builder, std::move(other)).at(0); };
    for (const Rule rule : rules_)
      if (const std::optional<ValueId> v = rule({builder.graph(), node, emit})) return {*v};
    if (!merging_ || !Known::may_merge(node)) return builder.append(std::move(node));
    const std::uint64_t hash = Known::hash(node);
    if (const std::vector<ValueId>* equal = known_.find(builder.graph(), node, hash)) return *equal;
    std::vector<ValueId> results = builder.append(std::move(node));
    known_.add(hash, builder.graph().value(results.at(0)).producer);
    return results;
  }

 private:
  std::vector<Rule> rules_;
  bool merging_;
  Known known_;
};

}  // namespace

Graph simplified(const Graph& graph, const Simplifications& rules) {
  return rewritten_with_memory(graph, [&]() -> Replacement {
    return [simplifier = Simplifier(rules)](GraphBuilder& builder, const Node& node) mutable {
      return std::optional(simplifier.add(builder, node));
    };
  });
}

Graph simplify(const Graph& graph) { return pruned(simplified(graph, {})); }

}  // namespace weft
