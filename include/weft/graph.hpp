// Graph: a typed, static-shape, single-assignment program over tensors, in topological order.
//
// Inputs are feeds (a batch), state (parameters, moments, counters: named buffers that outlive the graph) or run-time
// scalars (this rank's coordinates). Outputs are fetches (loss, metrics) or the next value of a state. A Graph is a
// plain value: passes take one and return another. Build it with graph/builder.hpp, which infers and checks types from
// the operator table; `append` below trusts its caller.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "weft/attributes.hpp"
#include "weft/dtype.hpp"
#include "weft/initial_value.hpp"
#include "weft/layout.hpp"
#include "weft/op.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft {

using ValueId = std::int32_t;
using NodeId = std::int32_t;
inline constexpr std::int32_t kNone = -1;

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const TensorType&) const = default;
  std::string str() const;  ///< "f32[2, 3]"
};

class Graph;

struct Node {
  Op op{};
  std::string name;  ///< where it came from, for people ("/layer1/conv1", "grad of /layer1/conv1")
  Attributes attributes;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::optional<Tensor> literal;  ///< the value of a `constant`
  /// `if`: {then, else}, both taking inputs[1..]; inputs[0] is the scalar bool condition.
  /// `while`: {condition, body}; both take the carried values; the body returns as many.
  std::vector<Graph> bodies;
};

struct Value {
  TensorType type;
  NodeId producer = kNone;       ///< kNone for a graph input
  int result = 0;                ///< which output of the producer
  std::optional<Layout> layout;  ///< set by the layout pass; absent means row-major
};

enum class InputRole : std::uint8_t { feed, state, scalar };
enum class OutputRole : std::uint8_t { fetch, state };

struct GraphInput {
  std::string name;
  InputRole role = InputRole::feed;
  ValueId value = kNone;
};

struct GraphOutput {
  std::string name;  ///< a state output names the state that it replaces
  OutputRole role = OutputRole::fetch;
  ValueId value = kNone;
};

class Graph {
 public:
  /// Adds an input and returns its value. Names are unique among inputs.
  ValueId add_input(std::string name, InputRole role, TensorType type);
  /// Adds a node whose results have `result_types`; inputs must exist already. Returns its id.
  NodeId append(Op op, std::vector<ValueId> inputs, Attributes attributes, std::vector<TensorType> result_types,
                std::string name = {});
  void add_output(std::string name, OutputRole role, ValueId value);

  /// References to nodes and values stay valid while the graph grows (hence the deques).
  const std::deque<Node>& nodes() const { return nodes_; }
  const std::deque<Value>& values() const { return values_; }
  const std::vector<GraphInput>& inputs() const { return inputs_; }
  const std::vector<GraphOutput>& outputs() const { return outputs_; }

  const Node& node(NodeId id) const { return nodes_.at(static_cast<std::size_t>(id)); }
  Node& node(NodeId id) { return nodes_.at(static_cast<std::size_t>(id)); }
  const Value& value(ValueId id) const { return values_.at(static_cast<std::size_t>(id)); }
  Value& value(ValueId id) { return values_.at(static_cast<std::size_t>(id)); }
  const TensorType& type(ValueId id) const { return value(id).type; }
  /// The node that makes `id`, or nullptr for a graph input.
  const Node* producer(ValueId id) const;
  /// The layout of a value: the one set, or row-major.
  Layout layout(ValueId id) const;
  /// kNone when there is none of that name.
  ValueId find_input(std::string_view name) const;
  ValueId find_output(std::string_view name) const;

  /// Nodes that read each value, in order (a node that reads it twice is listed once). Graph outputs do not count.
  std::vector<std::vector<NodeId>> users() const;

  /// Structural invariants: ids in range, topological order, one producer each, unique input names.
  /// Throws InternalError naming the node.
  void verify() const;

  /// One node a line: "%7 = add(%3, %5) : f32[2, 3]  # /fc/bias".
  std::string str() const;

 private:
  std::deque<Node> nodes_;
  std::deque<Value> values_;
  std::vector<GraphInput> inputs_;
  std::vector<GraphOutput> outputs_;
};

/// A model: its forward graph, and the initial value of every state that it reads.
/// States are named as in the file that it came from; `trainable` says which of them are parameters.
struct ModelState {
  std::string name;
  InitialValue initial;
  bool trainable = false;
  std::string reason;  ///< why it is (not) a parameter, for `weft inspect`
};

struct Model {
  Graph forward;  ///< feeds: the model's inputs; fetches: its outputs; states: parameters and statistics
  std::vector<ModelState> states;
};

}  // namespace weft
