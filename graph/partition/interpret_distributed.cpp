// Lockstep interpretation: every rank runs to its next collective, then all exchange.
#include "graph/partition/interpret_distributed.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/interpret.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

class RankInterpreter {
 public:
  RankInterpreter(const Graph& graph, const std::map<std::string, Tensor>& inputs)
      : graph_(graph), values_(graph.values().size()) {
    for (const GraphInput& i : graph.inputs()) {
      const auto found = inputs.find(i.name);
      check_internal(found != inputs.end(), "interpret_distributed: no value for input '" + i.name + "'");
      const TensorType type{found->second.dtype(), found->second.shape()};
      if (type != graph.type(i.value))
        throw InternalError(fmt::format("interpret_distributed: input '{}' is {} and must be {}", i.name, type.str(),
                                        graph.type(i.value).str()));
      values_[static_cast<std::size_t>(i.value)] = found->second;
    }
  }

  /// Runs up to the next collective; nullptr at the end.
  const Node* advance() {
    for (; next_ < graph_.nodes().size(); ++next_) {
      const Node& node = graph_.nodes()[next_];
      if (class_of(node.op) == OpClass::collective) return &node;
      std::vector<Tensor> operands;
      for (const ValueId v : node.inputs) operands.push_back(values_[static_cast<std::size_t>(v)]);
      std::vector<TensorType> types;
      for (const ValueId v : node.outputs) types.push_back(graph_.type(v));
      const std::vector<Tensor> results = interpret_node(node, types, operands);
      for (std::size_t i = 0; i < results.size(); ++i) set(node.outputs[i], results[i]);
    }
    return nullptr;
  }

  std::string describe(const Node& node) const {
    return fmt::format("{} {} of {} in '{}'", name_of(node.op), node.attributes.str(),
                       graph_.type(node.inputs.front()).str(), node.name);
  }

  const Tensor& contribution() const { return values_[static_cast<std::size_t>(graph_.nodes()[next_].inputs[0])]; }
  void finish_collective(const Tensor& result) { set(graph_.nodes()[next_++].outputs[0], result); }

  std::map<std::string, Tensor> outputs() const {
    std::map<std::string, Tensor> result;
    for (const GraphOutput& o : graph_.outputs()) result[o.name] = values_[static_cast<std::size_t>(o.value)];
    return result;
  }

 private:
  void set(ValueId v, const Tensor& value) { values_[static_cast<std::size_t>(v)] = value; }

  const Graph& graph_;
  std::vector<Tensor> values_;
  std::size_t next_ = 0;
};

/// x and y under `kind`; sums wrap like the type.
template <class T>
T combined(T x, T y, const std::string& kind) {
  if (kind == "max") return std::max(x, y);
  if (kind == "min") return std::min(x, y);
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y));
  else
    return x + y;
}

/// Element by element over ranks, floats in f64.
Tensor reduced(const std::vector<Tensor>& parts, const std::string& kind) {
  Tensor result = parts.front();
  visit_dtype(result.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    check_internal(!std::is_same_v<T, bool>, "interpret_distributed: an all-reduce of bool");
    for (std::int64_t i = 0; i < result.elements(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      if constexpr (std::is_integral_v<T>) {
        T sum = parts.front().values<T>()[at];
        for (std::size_t r = 1; r < parts.size(); ++r) sum = combined(sum, parts[r].values<T>()[at], kind);
        result.mutable_values<T>()[at] = sum;
      } else {
        double sum = parts.front().as_double(i);
        for (std::size_t r = 1; r < parts.size(); ++r) sum = combined(sum, parts[r].as_double(i), kind);
        result.mutable_values<T>()[at] = Tensor::scalar(sum).cast(result.dtype()).template values<T>()[0];
      }
    }
  });
  return result;
}

/// Throws unless all ranks stand at the same collective.
void check_meeting(const std::vector<std::string>& stops) {
  for (std::size_t r = 1; r < stops.size(); ++r)
    if (stops[r] != stops.front())
      throw InternalError(fmt::format("ranks 0 and {} do not meet: {}; {}", r, stops.front(), stops[r]));
}

}  // namespace

std::vector<std::map<std::string, Tensor>> interpret_distributed(
    const std::vector<Graph>& graphs, const std::vector<std::map<std::string, Tensor>>& inputs) {
  check_internal(!graphs.empty() && graphs.size() == inputs.size(), "interpret_distributed: inputs for each graph");
  std::vector<RankInterpreter> ranks;
  for (std::size_t r = 0; r < graphs.size(); ++r) ranks.emplace_back(graphs[r], inputs[r]);
  while (true) {
    std::vector<std::string> stops;
    std::vector<Tensor> parts;
    std::string kind;
    for (RankInterpreter& rank : ranks) {
      const Node* node = rank.advance();
      stops.push_back(node == nullptr ? "the end" : rank.describe(*node));
      if (node == nullptr) continue;
      check_internal(node->op == Op::all_reduce, "interpret_distributed evaluates all-reduces only");
      kind = node->attributes.text("kind");
      parts.push_back(rank.contribution());
    }
    check_meeting(stops);
    if (parts.empty()) break;
    const Tensor result = reduced(parts, kind);
    for (RankInterpreter& rank : ranks) rank.finish_collective(result);
  }
  std::vector<std::map<std::string, Tensor>> results;
  for (const RankInterpreter& rank : ranks) results.push_back(rank.outputs());
  return results;
}

}  // namespace weft
