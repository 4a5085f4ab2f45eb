// Pointwise bodies as register programs over tiles, independent of layouts.
//
// Every register holds, for one tile, one value of the body seen through the broadcasts that lead to it. Values smaller
// than the iteration space are computed at its full extent: a broadcast is only another way of walking an operand.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/nest.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "weft/graph.hpp"

namespace weft::cpu {

enum class RegisterKind : std::uint8_t { operand, constant, iota, step };

struct TileRegister {
  RegisterKind kind = RegisterKind::step;
  DType type = DType::f32;  ///< of the value; held in compute_type(type)
  int index = -1;           ///< into operands or iotas, by kind
  Tensor constant;          ///< one element, for constants
};

/// A body input as walked by one or more registers.
struct TileOperand {
  std::size_t argument = 0;  ///< among the body's inputs
  ValueId value = kNone;
  DimMap map;
};

struct TileIota {
  int dimension = 0;  ///< of the iteration space
};

struct TileStep {
  TileFn fn = nullptr;
  int out = -1;
  int in[3] = {-1, -1, -1};
  int arity = 0;
};

class TileGraph {
 public:
  /// Registers for `roots`, all of shape `space`. On failure `refusal()` is not empty.
  TileGraph(const Graph& body, const std::vector<ValueId>& roots, const Shape& space, const TileOps& ops);

  const std::string& refusal() const { return refusal_; }
  const Shape& space() const { return space_; }
  const std::vector<TileRegister>& registers() const { return registers_; }
  const std::vector<TileOperand>& operands() const { return operands_; }
  const std::vector<TileIota>& iotas() const { return iotas_; }
  const std::vector<TileStep>& steps() const { return steps_; }
  const std::vector<int>& roots() const { return roots_; }  ///< registers of the roots

  /// True when the operand has every extent of the iteration space.
  bool is_full(const TileOperand& operand) const;

 private:
  using Key = std::pair<ValueId, DimMap>;

  int refuse(std::string why);
  int add(TileRegister reg);
  int step(TileFn fn, DType type, std::vector<int> in);
  int value(ValueId id, const DimMap& map);
  int make(ValueId id, const DimMap& map);
  int operand(ValueId id, const DimMap& map);
  int computed(const Node& node, const DimMap& map);
  int cast(int from, DType to);
  int rounded(int reg);
  TileFn function_of(const Node& node, DType type) const;

  const Graph& body_;
  const TileOps& ops_;
  Shape space_;
  std::string refusal_;
  std::vector<TileRegister> registers_;
  std::vector<TileOperand> operands_;
  std::vector<TileIota> iotas_;
  std::vector<TileStep> steps_;
  std::vector<int> roots_;
  std::map<Key, int> known_;
  int depth_ = 0;
};

}  // namespace weft::cpu
