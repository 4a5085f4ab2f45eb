// Operands of attention, and masks, as recognition finds them. Internal to the pass.
#pragma once

#include <optional>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/constant_values.hpp"

namespace weft::attention {

/// q, k or v somewhere in the graph: which of its dimensions are batch (heads last), which runs along positions and
/// which along features.
struct Operand {
  ValueId value = kNone;
  Dims batch;
  std::int64_t position = -1, feature = -1;
  std::optional<Shape> seen_as = std::nullopt;  ///< the shape that these are dimensions of, where it is not the value's
};

/// One side of a product: its batch and contracted dimensions as attributes have them. nullopt unless just one
/// dimension is contracted and one is free.
std::optional<Operand> operand_of(const Graph& graph, ValueId value, const Dims& batch, const Dims& contract,
                                  bool positions_are_contracted);

/// Walks back over factors, which go into `scale`, and over movement, as far as dimensions keep their meaning. The one
/// batch dimension becomes two where it was merged from two and `may_split`.
Operand simplified_operand(const Graph& graph, ConstantValues& constants, Operand operand, bool may_split,
                           double& scale);

/// k or v before each of its heads was repeated for several query heads; itself where none was.
Operand unrepeated(const Graph& graph, const Operand& operand);

/// [batch, positions, heads, features] of `operand`, whose value is `x` in `builder`.
ValueId as_operand(GraphBuilder& builder, const Operand& operand, ValueId x);

/// A value without the broadcast that made it: `shape` has extents of 1 instead.
struct Unbroadcast {
  ValueId value = kNone;
  Shape shape;
};
Unbroadcast unbroadcast(const Graph& graph, ValueId value);

}  // namespace weft::attention
