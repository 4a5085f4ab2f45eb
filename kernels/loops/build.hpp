// Building expressions: typed helpers over Kernel::add that fold constants of index arithmetic.
#pragma once

#include "kernels/loops/ir.hpp"

namespace weft::loops {

class Builder {
 public:
  explicit Builder(Kernel& kernel) : kernel_(kernel) {}

  Kernel& kernel() { return kernel_; }
  DType type(ExprId e) const { return kernel_.expr(e).dtype; }

  ExprId integer(std::int64_t value, DType type = DType::i64);
  ExprId real(double value, DType type = DType::f32);
  ExprId boolean(bool value) { return integer(value ? 1 : 0, DType::boolean); }
  ExprId index(std::int32_t slot);
  ExprId local(std::int32_t slot);
  /// f16 and bf16 are widened.
  ExprId load(std::int32_t buffer, ExprId element);
  ExprId unary(Op op, ExprId x);
  ExprId binary(Op op, ExprId x, ExprId y);
  ExprId select(ExprId condition, ExprId yes, ExprId no);
  ExprId fma(ExprId x, ExprId y, ExprId z);
  ExprId dot_pairs(ExprId x, ExprId y, ExprId z);
  ExprId cast(ExprId x, DType to);
  ExprId bitcast(ExprId x, DType to);
  ExprId round_to(ExprId x, DType to);
  ExprId join_lanes(std::int32_t local, Op op);

  ExprId add(ExprId x, ExprId y) { return binary(Op::add, x, y); }
  ExprId sub(ExprId x, ExprId y) { return binary(Op::sub, x, y); }
  ExprId mul(ExprId x, ExprId y) { return binary(Op::mul, x, y); }
  ExprId div(ExprId x, ExprId y) { return binary(Op::div, x, y); }

  /// The value of an integer constant.
  bool is_constant(ExprId e, std::int64_t& value) const;

 private:
  ExprId fold(Op op, ExprId x, ExprId y);

  Kernel& kernel_;
};

Stmt loop_of(LoopKind kind, std::int32_t index, ExprId extent, std::vector<Stmt> body, int lanes = 1);
Stmt declare(std::int32_t local, ExprId value);
Stmt assign(std::int32_t local, ExprId value);
Stmt store(std::int32_t buffer, ExprId element, ExprId value);
Stmt tile_contract(Contraction contraction);

}  // namespace weft::loops
