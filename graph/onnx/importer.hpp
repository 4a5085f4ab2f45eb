// GraphImporter: walks a checked model and appends its nodes to a GraphBuilder. Internal to this folder.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/narrow.hpp"
#include "graph/onnx/op_context.hpp"
#include "graph/onnx/proto.hpp"

namespace weft::onnx {

/// What walking the model found: a graph in which every used initializer is a state input, and what is in the way.
struct ImportAttempt {
  Graph graph;
  std::map<std::string, InitialValue> initializers;  ///< of the main graph, those that some node reads
  std::map<std::string, Tensor> bound;               ///< inputs of `graph` that the caller gave values
  std::vector<std::string> problems;                 ///< one line each, with node names
  std::set<std::string> needed_constants;
};

ImportAttempt attempt_import(const ModelFile& file, const ImportOptions& options);

/// A subgraph's problems are reported already; the node that holds it has nothing to add.
class AlreadyReported : public std::exception {};

/// Sequences of tensors exist on import only. Where a node's operand or result is one, its id is below kNone: it stands
/// for a list of values in the importer's table; kAbsent is an optional that holds nothing.
inline constexpr ValueId kAbsent = -3;
inline constexpr ValueId kFirstSequence = -4;
inline bool is_tensor(ValueId id) { return id >= 0; }
inline bool is_sequence(ValueId id) { return id <= kFirstSequence; }

class GraphImporter {
 public:
  GraphImporter(const ModelContents& contents, const ImportOptions& options);
  ImportAttempt run();

  /// Appends a subgraph's nodes in place, its inputs standing for `arguments`; returns its outputs.
  /// Throws AlreadyReported when a node of it could not be imported.
  std::vector<ValueId> import_subgraph(const pb::GraphProto& graph, const std::vector<ValueId>& arguments);
  /// Whether the node has this output, and anything reads it.
  bool is_read(const pb::NodeProto& node, int output) const;
  /// The tensor that a message holds, read once however often it is asked for (loops do).
  const Tensor& literal(const pb::TensorProto& tensor, const std::string& where);
  /// The value of a name visible from here.
  ValueId lookup(const std::string& name);

  /// A value of a narrow type (graph/onnx/narrow.hpp), whose carrier does not tell.
  void note_narrow(ValueId id, const NarrowType& type) { narrow_[id] = &type; }
  const NarrowType* narrow_of(ValueId id) const;

  /// Counts numbers that constants made on import take (the matrices of transforms): a small file must not fill the
  /// memory. Throws Unsupported beyond the limit.
  void charge(std::int64_t numbers);

  ValueId make_sequence(std::vector<ValueId> elements);
  const std::vector<ValueId>& elements(ValueId sequence) const;

 private:
  using Scope = std::unordered_map<std::string, ValueId>;

  void add_inputs();
  ValueId add_input(const pb::ValueInfoProto& input);
  TensorType input_type(const pb::ValueInfoProto& input);
  void import_nodes(const std::vector<const pb::NodeProto*>& nodes);
  void import_node(const pb::NodeProto& node);
  std::vector<ValueId> apply_rule(const pb::NodeProto& node, std::vector<ValueId> operands);
  /// The narrow type among the operands, if any. Throws Unsupported where the operator would compute on it.
  const NarrowType* narrow_operand(const pb::NodeProto& node, const std::vector<ValueId>& operands) const;
  void add_outputs();
  void problem(std::string text) { attempt_.problems.push_back(std::move(text)); }
  void poison(const pb::NodeProto& node);

  const ModelContents& contents_;
  const ImportOptions& options_;
  GraphBuilder builder_;
  ConstantFinder constants_;
  ImportAttempt attempt_;
  std::int64_t imported_ = 0, charged_ = 0, sequence_elements_ = 0;
  std::vector<Scope> scopes_;
  std::deque<std::vector<ValueId>> sequences_;
  std::unordered_map<ValueId, const NarrowType*> narrow_;
  std::unordered_set<std::string> read_;  ///< names that somebody reads, in any graph of the model
  std::unordered_map<std::string, const pb::TensorProto*> initializers_;
  std::unordered_map<const pb::TensorProto*, Tensor> literals_;
};

}  // namespace weft::onnx
