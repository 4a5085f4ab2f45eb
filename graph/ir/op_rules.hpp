// The operator table: what every operator means to the graph: its types, gradient, decomposition and placement.
//
// To add an operator: a line in weft/op.hpp, and an OpRules entry in the file of its family under graph/ir/ops,
// which lists its entries in a function that op_rules.cpp's explicit table calls. Nothing registers itself.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// Result types from operand types and what the node holds (attributes, literal, bodies; its ids are not looked at).
/// Throws UserError naming operator, reason and operand types when they do not fit.
using InferRule = std::vector<TensorType> (*)(const Node& node, std::span<const TensorType> operands);

/// What a gradient rule sees: the node's operands and results in the builder's graph.
struct GradientContext {
  GraphBuilder& builder;
  const Node& node;                       ///< its ids are the builder's ids
  std::span<const ValueId> result_grads;  ///< dL/d(result i), or kNone when nothing depends on it
  std::span<const bool> wanted;           ///< operands whose gradient is asked for; others may be answered kNone

  ValueId operand(int i) const { return node.inputs[static_cast<std::size_t>(i)]; }
  ValueId result(int i = 0) const { return node.outputs[static_cast<std::size_t>(i)]; }
  ValueId grad(int i = 0) const { return result_grads[static_cast<std::size_t>(i)]; }
};
/// dL/d(operand i), or kNone where it is zero or not defined (integers).
using GradientRule = std::vector<ValueId> (*)(const GradientContext& context);

/// The node's results as made from simpler operators.
using DecomposeRule = std::vector<ValueId> (*)(GraphBuilder& builder, const Node& node);

/// Placement along one mesh axis: from the operands' to the results', or a demand that operands change first.
struct PlacementAnswer {
  std::vector<AxisPlacement> operands;  ///< what the rule needs: equal to what it was given where that is fine
  std::vector<AxisPlacement> results;
  Attributes local_attributes;  ///< attributes of the local node, for coordinate `coordinate`
};
using PlacementRule = PlacementAnswer (*)(const Node& node, std::span<const TensorType> operand_types,
                                          std::span<const TensorType> result_types,
                                          std::span<const AxisPlacement> operands, int coordinate);

struct OpRules {
  Op op{};
  InferRule infer = nullptr;
  GradientRule gradient = nullptr;    ///< nullptr: not differentiable (results are integers), or by decomposition
  DecomposeRule decompose = nullptr;  ///< composites only
  PlacementRule placement = nullptr;  ///< nullptr: operands must be replicated
};

const OpRules& rules_of(Op op);

/// `graph` with every composite for which `keep` is false replaced by its decomposition, repeatedly.
Graph decompose(const Graph& graph, const std::function<bool(const Node&)>& keep);

}  // namespace weft
