// The values of a space as expressions at one position of the loops.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/loops/build.hpp"
#include "kernels/loops/rows_nest.hpp"

namespace weft::loops {

/// Where the loops stand: one i64 expression a loop.
struct Position {
  std::vector<ExprId> outer, reduced;
  ExprId column = -1;
};

class RowsValues {
 public:
  /// `results[r]` are the locals that hold reduction r's result (and variance) once they are known.
  RowsValues(Builder& builder, const Space& space, const RowsNest& nest, std::vector<std::int32_t> operand_buffers)
      : b_(builder), space_(space), nest_(nest), operand_buffers_(std::move(operand_buffers)) {
    locals_.resize(space.reductions().size());
  }

  /// The loops stand elsewhere: what follows is evaluated there.
  void move_to(Position position);
  const Position& position() const { return position_; }
  void set_result(std::size_t reduction, int result, std::int32_t local) { locals_[reduction][result] = local; }

  ExprId address(const Stream& stream);
  ExprId value(int v);
  const std::string& refusal() const { return refusal_; }

 private:
  ExprId make(const SpaceValue& v);
  ExprId constant(const SpaceValue& v);
  ExprId rounded(ExprId e, DType type);

  struct ResultLocals {
    std::int32_t local[2] = {-1, -1};
    std::int32_t& operator[](int i) { return local[i]; }
  };

  Builder& b_;
  const Space& space_;
  const RowsNest& nest_;
  std::vector<std::int32_t> operand_buffers_;
  std::vector<ResultLocals> locals_;
  Position position_;
  std::vector<ExprId> known_;  ///< by value, at this position
  std::string refusal_;
};

}  // namespace weft::loops
