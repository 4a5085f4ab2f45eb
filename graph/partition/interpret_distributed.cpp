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

/// x and y under `kind`; sums wrap like the type, NaN is the extremum of what it is among.
template <class T>
T combined(T x, T y, const std::string& kind) {
  if (kind == "max") return y > x || y != y ? y : x;
  if (kind == "min") return y < x || y != y ? y : x;
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

Tensor run_one(Op op, Attributes attributes, const std::vector<Tensor>& operands, const Shape& result) {
  const Node node{op, {}, std::move(attributes), {}, {}, std::nullopt, {}};
  return interpret_node(node, {{operands.front().dtype(), result}}, operands)[0];
}

/// Rank `place`'s equal part of a tensor along dimension 0.
Tensor part_of(const Tensor& whole, std::size_t place, std::int64_t parts) {
  const std::int64_t extent = whole.shape()[0] / parts;
  Dims start(whole.shape().extents().size(), 0), limit = whole.shape().extents(), stride(start.size(), 1);
  start[0] = static_cast<std::int64_t>(place) * extent;
  limit[0] = start[0] + extent;
  return run_one(Op::slice, {{"start", start}, {"limit", limit}, {"stride", stride}}, {whole},
                 whole.shape().with(0, extent));
}

/// What each member of a group gets.
std::vector<Tensor> exchanged(const Node& node, const std::vector<Tensor>& parts) {
  const auto n = static_cast<std::int64_t>(parts.size());
  if (node.op != Op::all_reduce)
    check_internal(node.attributes.integer("size") == n, "interpret_distributed: the size is not that of the group");
  if (node.op == Op::all_gather) {
    const Shape& shape = parts.front().shape();
    const Tensor all = run_one(Op::concat, {{"axis", std::int64_t{0}}}, parts, shape.with(0, shape[0] * n));
    return std::vector<Tensor>(parts.size(), all);
  }
  std::vector<Tensor> results(parts.size(), reduced(parts, node.attributes.text("kind")));
  if (node.op == Op::reduce_scatter)
    for (std::size_t i = 0; i < results.size(); ++i) results[i] = part_of(results[i], i, n);
  return results;
}

class Lockstep {
 public:
  Lockstep(const Mesh& mesh, std::vector<RankInterpreter> ranks) : mesh_(mesh), ranks_(std::move(ranks)) {}

  void run() {
    while (true) {
      stops_.clear();
      for (RankInterpreter& rank : ranks_) stops_.push_back(rank.advance());
      if (std::all_of(stops_.begin(), stops_.end(), [](const Node* n) { return n == nullptr; })) return;
      bool met = false;
      for (std::size_t r = 0; r < ranks_.size(); ++r) met |= finish_group(r);
      if (!met) fail();
    }
  }

  const std::vector<RankInterpreter>& ranks() const { return ranks_; }

 private:
  std::string stop(std::size_t r) const { return stops_[r] == nullptr ? "the end" : ranks_[r].describe(*stops_[r]); }

  std::vector<int> group(std::size_t r) const {
    return mesh_.group(static_cast<int>(r), stops_[r]->attributes.texts("axes"));
  }

  /// The exchange at which rank r stands, if r is the first of its group and all of it stands there.
  bool finish_group(std::size_t r) {
    const Node* node = stops_[r];
    if (node == nullptr || group(r).front() != static_cast<int>(r)) return false;
    check_internal(node->op == Op::all_reduce || node->op == Op::all_gather || node->op == Op::reduce_scatter,
                   "interpret_distributed: no such exchange");
    std::vector<Tensor> parts;
    for (const int member : group(r)) {
      if (stop(static_cast<std::size_t>(member)) != stop(r)) return false;
      parts.push_back(ranks_[static_cast<std::size_t>(member)].contribution());
    }
    const std::vector<Tensor> results = exchanged(*node, parts);
    const std::vector<int> members = group(r);
    for (std::size_t i = 0; i < members.size(); ++i)
      ranks_[static_cast<std::size_t>(members[i])].finish_collective(results[i]);
    return true;
  }

  [[noreturn]] void fail() const {
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      for (const int other : stops_[r] == nullptr ? std::vector<int>{} : group(r))
        if (stop(static_cast<std::size_t>(other)) != stop(r))
          throw InternalError(fmt::format("ranks {} and {} do not meet: {}; {}", r, other, stop(r),
                                          stop(static_cast<std::size_t>(other))));
    throw InternalError("interpret_distributed: ranks wait for one another in a circle");
  }

  const Mesh& mesh_;
  std::vector<RankInterpreter> ranks_;
  std::vector<const Node*> stops_;
};

}  // namespace

std::vector<std::map<std::string, Tensor>> interpret_distributed(
    const Mesh& mesh, const std::vector<Graph>& graphs, const std::vector<std::map<std::string, Tensor>>& inputs) {
  check_internal(static_cast<int>(graphs.size()) == mesh.ranks() && graphs.size() == inputs.size(),
                 "interpret_distributed: a graph and inputs for each rank");
  std::vector<RankInterpreter> ranks;
  for (std::size_t r = 0; r < graphs.size(); ++r) ranks.emplace_back(graphs[r], inputs[r]);
  Lockstep lockstep(mesh, std::move(ranks));
  lockstep.run();
  std::vector<std::map<std::string, Tensor>> results;
  for (const RankInterpreter& rank : lockstep.ranks()) results.push_back(rank.outputs());
  return results;
}

}  // namespace weft
