// GraphBuilder: makes nodes with their types inferred and checked from the operator table.
//
// One method per operator family, NumPy-like conveniences on top. All results are ValueIds of the graph under
// construction. Types that do not fit throw UserError (imported models are the user's input) naming operator, node and
// operand types.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/graph.hpp"

namespace weft {

/// Parameters of convolutions; one entry per spatial dimension.
struct ConvWindow {
  Dims strides, pads_low, pads_high, dilations;
  std::int64_t groups = 1;
};

/// Parameters of windowed reductions; one entry per dimension of the operand (1, 1, 0, 0, 1 for those not windowed).
struct PoolWindow {
  Dims window, strides, pads_low, pads_high, dilations;
};

class GraphBuilder {
 public:
  GraphBuilder() = default;
  explicit GraphBuilder(Graph graph) : graph_(std::move(graph)) {}

  const Graph& graph() const { return graph_; }
  Graph take() && { return std::move(graph_); }

  /// Names nodes made from now on; returns the former name. ScopedName restores it.
  std::string set_name(std::string name) { return std::exchange(name_, std::move(name)); }

  ValueId input(std::string name, InputRole role, TensorType type) {
    return graph_.add_input(std::move(name), role, std::move(type));
  }
  void output(std::string name, OutputRole role, ValueId value) { graph_.add_output(std::move(name), role, value); }

  const TensorType& type(ValueId v) const { return graph_.type(v); }
  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }
  DType dtype(ValueId v) const { return graph_.type(v).dtype; }

  /// The general form: literal and bodies included; `node.outputs` is not looked at, an empty name becomes the
  /// builder's. Infers and checks the types. Every other method ends here. Returns the results.
  std::vector<ValueId> append(Node node);
  std::vector<ValueId> node(Op op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId one(Op op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return node(op, std::move(inputs), std::move(attributes)).front();
  }
  /// `if` (inputs: condition, then what both bodies take) or `while` (inputs: the carried values); see graph.hpp.
  std::vector<ValueId> control(Op op, std::vector<ValueId> inputs, std::vector<Graph> bodies);

  // Sources.
  ValueId constant(Tensor value);
  ValueId full(DType type, const Shape& shape, double value);  ///< a broadcast scalar
  ValueId like(ValueId v, double value) { return full(dtype(v), shape(v), value); }
  ValueId iota(DType type, const Shape& shape, int axis);

  // Elementwise. Binary forms broadcast both sides as NumPy does; types must be equal.
  ValueId unary(Op op, ValueId x) { return one(op, {x}); }
  ValueId binary(Op op, ValueId x, ValueId y);
  ValueId add(ValueId x, ValueId y) { return binary(Op::add, x, y); }
  ValueId sub(ValueId x, ValueId y) { return binary(Op::sub, x, y); }
  ValueId mul(ValueId x, ValueId y) { return binary(Op::mul, x, y); }
  ValueId div(ValueId x, ValueId y) { return binary(Op::div, x, y); }
  ValueId select(ValueId condition, ValueId x, ValueId y);  ///< broadcasts all three
  ValueId cast(ValueId x, DType type);                      ///< x itself when it has that type
  /// 16-bit floats as f32, others as they are: what sums over many elements are made of, for a sum of f16 overflows.
  ValueId wide(ValueId x);

  // Movement.
  ValueId reshape(ValueId x, const Shape& shape);  ///< x itself when it has that shape
  ValueId transpose(ValueId x, Dims order);
  ValueId broadcast_to(ValueId x, const Shape& shape);  ///< NumPy rule: aligned at the last dimension
  ValueId broadcast_in(ValueId x, const Shape& shape, Dims dims);
  ValueId slice(ValueId x, Dims start, Dims limit, Dims stride);
  ValueId pad(ValueId x, ValueId value, Dims low, Dims high, Dims interior);
  ValueId concat(std::vector<ValueId> parts, int axis);

  // Reductions: `dims` are removed, or kept as 1.
  ValueId reduce(Op op, ValueId x, Dims dims, bool keep = false);
  ValueId reduce_all(Op op, ValueId x);                   ///< over all dimensions, to a scalar
  ValueId mean(ValueId x, Dims dims, bool keep = false);  ///< summed wide

  // Contractions.
  /// Reads through transposes of its operands where they stay matrices of rows or columns.
  ValueId dot(ValueId x, ValueId y, Dims x_batch, Dims y_batch, Dims x_contract, Dims y_contract);
  /// NumPy matmul: batch dimensions broadcast, rank-1 operands promoted.
  ValueId matmul(ValueId x, ValueId y);
  ValueId conv(ValueId x, ValueId w, const ConvWindow& window);
  ValueId pool(Op op, ValueId x, const PoolWindow& window);  ///< reduce_window_max or reduce_window_sum

  /// Copies `other`'s nodes in, its inputs replaced by `arguments` in order; returns its outputs' values in order.
  std::vector<ValueId> inlined(const Graph& other, const std::vector<ValueId>& arguments);

 private:
  Graph graph_;
  std::string name_;
};

/// Names the nodes made in this scope.
class ScopedName {
 public:
  ScopedName(GraphBuilder& builder, std::string name) : builder_(builder), former_(builder.set_name(std::move(name))) {}
  ~ScopedName() { builder_.set_name(std::move(former_)); }
  ScopedName(const ScopedName&) = delete;
  ScopedName& operator=(const ScopedName&) = delete;

 private:
  GraphBuilder& builder_;
  std::string former_;
};

}  // namespace weft
