// OpContext: what the import function of one ONNX operator sees: the node's operands, attributes and opset version, and
// the builder to which it appends.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/onnx/proto.hpp"

namespace weft::onnx {

/// Why a node cannot be imported. Caught by the importer, which goes on and reports all at once.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value must be known on import but depends on these graph inputs.
class NeedsConstants : public std::runtime_error {
 public:
  NeedsConstants(std::set<std::string> inputs, const std::string& what)
      : std::runtime_error(what), inputs_(std::move(inputs)) {}
  const std::set<std::string>& inputs() const { return inputs_; }

 private:
  std::set<std::string> inputs_;
};

/// Computes values that do not depend on feeds, when an operator asks for them.
class ConstantFinder {
 public:
  explicit ConstantFinder(const GraphBuilder& builder) : builder_(builder) {}
  /// Gives a graph input its value: an initializer's, or one that the caller bound. It is read when it is asked for.
  void set(ValueId id, InitialValue value) { given_[id] = std::move(value); }
  /// The value, or nullptr when it depends on an input that has none or is too large, or needs too many numbers, to be
  /// shape arithmetic.
  const Tensor* find(ValueId id);
  /// The inputs without a value that `id` depends on.
  std::set<std::string> open_inputs(ValueId id) const;

 private:
  bool computable(ValueId id);
  bool has(ValueId id) const { return known_.count(id) != 0 || given_.count(id) != 0; }
  const Tensor* find_known(ValueId id);
  std::int64_t cost(ValueId id) const;
  void compute(ValueId id);

  const GraphBuilder& builder_;
  std::map<ValueId, InitialValue> given_;
  std::map<ValueId, Tensor> known_;
  std::unordered_map<ValueId, bool> computable_;
  std::int64_t computed_ = 0;  ///< elements
};

class GraphImporter;

class OpContext {
 public:
  OpContext(GraphImporter& importer, GraphBuilder& builder, ConstantFinder& constants, const pb::NodeProto& node,
            std::vector<ValueId> operands, std::int64_t version)
      : importer_(importer),
        b(builder),
        constants_(constants),
        node_(node),
        operands_(std::move(operands)),
        version_(version) {}

  const pb::NodeProto& node() const { return node_; }
  std::int64_t version() const { return version_; }  ///< of the operator set of this node's domain
  GraphImporter& importer() { return importer_; }

  // Operands.
  int size() const { return static_cast<int>(operands_.size()); }
  bool has(int i) const { return i < size() && operands_[static_cast<std::size_t>(i)] != kNone; }
  ValueId in(int i) const;   ///< throws when the operand is left out
  ValueId any(int i) const;  ///< the same, but it may be a sequence or an absent optional (graph/onnx/importer.hpp)
  const std::vector<ValueId>& operands() const { return operands_; }
  const Shape& shape(int i) const { return b.shape(in(i)); }
  int rank(int i) const { return shape(i).rank(); }
  DType dtype(int i) const { return b.dtype(in(i)); }
  bool wants(int output) const;  ///< whether the node has this output and anything reads it

  // Values that must be known on import.
  Tensor constant(int i, const std::string& what);
  Dims constant_dims(int i, const std::string& what);
  std::int64_t constant_int(int i, const std::string& what);
  /// The same for any value of the graph.
  Tensor known(ValueId id, const std::string& what);
  const Tensor* try_constant(int i) { return has(i) ? constants_.find(in(i)) : nullptr; }

  // Attributes.
  bool has_attribute(const std::string& name) const { return find(name) != nullptr; }
  std::int64_t integer(const std::string& name, std::int64_t otherwise) const;
  double number(const std::string& name, double otherwise) const;
  std::string text(const std::string& name, const std::string& otherwise) const;
  Dims integers(const std::string& name, Dims otherwise = {}) const;
  std::vector<double> numbers(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::optional<Tensor> tensor(const std::string& name) const;
  const pb::GraphProto& graph(const std::string& name) const;

  /// `axis` attribute, counted from the end when negative.
  int axis(std::int64_t otherwise, int rank) const { return normalize_axis(integer("axis", otherwise), rank); }

  /// The axes that an attribute names before version `since` and operand `i` from then on; nothing when left out.
  std::optional<Dims> axes_argument(const std::string& attribute, int i, std::int64_t since);

  [[noreturn]] static void unsupported(const std::string& reason) { throw Unsupported(reason); }

 private:
  const pb::AttributeProto* find(const std::string& name) const;

  GraphImporter& importer_;

 public:
  GraphBuilder& b;

 private:
  ConstantFinder& constants_;
  const pb::NodeProto& node_;
  std::vector<ValueId> operands_;
  std::int64_t version_;
};

}  // namespace weft::onnx
