// Bodies of kernels as seen from one iteration space: the rows that reductions reduce, and everything computed along
// them.
//
// The space is the shape that the body's reductions take (its results' shape when there is none). Some of its
// dimensions are reduced; the others, kept, number the rows. A body fits when every value in it is a function of the
// position in the space, or of the row alone, and every reduction reduces whole rows: softmax, layer normalisation,
// their gradients, plain reductions and elementwise chains all do. What reductions give is known one stage later than
// what they read: stage 0 needs no reduction, stage 1 those of stage 0, and so on.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/loops/nest.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

enum class ValueKind : std::uint8_t { operand, constant, iota, pointwise, reduction };

/// One value of the body, seen through the broadcasts that lead to it.
struct SpaceValue {
  ValueKind kind = ValueKind::pointwise;
  DType dtype = DType::f32;
  const Node* node = nullptr;  ///< constant, pointwise, reduction
  std::vector<int> args{};     ///< pointwise: earlier values
  int index = -1;              ///< operand, iota, reduction: into the lists below
  int result = 0;              ///< reduction: 1 is the variance of moments
  int stage = 0;
  bool varies = false;  ///< along the reduced dimensions
};

struct SpaceOperand {
  std::size_t argument = 0;  ///< among the body's inputs
  ValueId value = kNone;
  DimMap map;
  bool full = false;  ///< has every extent of the space
};

struct SpaceIota {
  int dimension = 0;
};

struct SpaceReduction {
  Op op = Op::reduce_sum;
  DType dtype = DType::f32;  ///< of its results
  int operand = -1;          ///< a value
  int stage = 0;             ///< of the operand
};

struct SpaceOutput {
  ValueId value = kNone;
  DimMap map;
  int of = -1;        ///< a value
  bool full = false;  ///< written along the rows; else once a row
};

class Space {
 public:
  /// Reads `body`, which must outlive this. On failure `refusal()` is not empty.
  explicit Space(const Graph& body);

  const std::string& refusal() const { return refusal_; }
  const Shape& shape() const { return shape_; }
  bool reduced(int dimension) const { return reduced_[static_cast<std::size_t>(dimension)]; }
  const std::vector<SpaceValue>& values() const { return values_; }  ///< in order of evaluation
  const std::vector<SpaceOperand>& operands() const { return operands_; }
  const std::vector<SpaceIota>& iotas() const { return iotas_; }
  const std::vector<SpaceReduction>& reductions() const { return reductions_; }
  const std::vector<SpaceOutput>& outputs() const { return outputs_; }
  int stages() const { return stages_; }  ///< 1 + the highest stage of a reduction; 0 without one

 private:
  int refuse(std::string why);
  void choose_space();
  void read_outputs();
  bool map_output(const Shape& shape, SpaceOutput& output) const;
  int add(SpaceValue value);
  int value(ValueId id, const DimMap& map);
  int make(ValueId id, const DimMap& map);
  int operand(ValueId id, const DimMap& map);
  int pointwise(const Node& node, ValueId id, const DimMap& map);
  int reduction(const Node& node, ValueId id, const DimMap& map);
  bool varies(const DimMap& map) const;

  const Graph& body_;
  std::string refusal_;
  Shape shape_;
  std::vector<bool> reduced_;
  std::vector<SpaceValue> values_;
  std::vector<SpaceOperand> operands_;
  std::vector<SpaceIota> iotas_;
  std::vector<SpaceReduction> reductions_;
  std::vector<SpaceOutput> outputs_;
  std::map<std::pair<ValueId, DimMap>, int> known_;
  std::map<const Node*, int> known_reductions_;
  int stages_ = 0;
  int depth_ = 0;
};

/// Whether `op` is a reduction that kernels of this family compute.
bool is_row_reduction(Op op);

}  // namespace weft::loops
