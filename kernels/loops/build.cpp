// Typed expressions, with index arithmetic folded.
#include "kernels/loops/build.hpp"

#include <bit>

#include "weft/error.hpp"

namespace weft::loops {
namespace {

DType held(DType type) { return type == DType::f16 || type == DType::bf16 ? DType::f32 : type; }

}  // namespace

ExprId Builder::integer(std::int64_t value, DType type) {
  if (is_float(type)) return real(static_cast<double>(value), type);
  Expr e;
  e.kind = ExprKind::constant;
  e.dtype = type;
  e.bits = value;
  return kernel_.add(e);
}

ExprId Builder::real(double value, DType type) {
  Expr e;
  e.kind = ExprKind::constant;
  e.dtype = held(type);
  e.bits = std::bit_cast<std::int64_t>(value);
  return kernel_.add(e);
}

ExprId Builder::index(std::int32_t slot) {
  Expr e;
  e.kind = ExprKind::index;
  e.slot = slot;
  return kernel_.add(e);
}

ExprId Builder::local(std::int32_t slot) {
  Expr e;
  e.kind = ExprKind::local;
  e.dtype = kernel_.locals[static_cast<std::size_t>(slot)].dtype;
  e.slot = slot;
  return kernel_.add(e);
}

ExprId Builder::load(std::int32_t buffer, ExprId element) {
  Expr e;
  e.kind = ExprKind::load;
  e.dtype = held(kernel_.buffers[static_cast<std::size_t>(buffer)].dtype);
  e.slot = buffer;
  e.args[0] = element;
  return kernel_.add(e);
}

ExprId Builder::unary(Op op, ExprId x) {
  Expr e;
  e.kind = ExprKind::unary;
  e.op = op;
  e.dtype = type(x);
  e.args[0] = x;
  return kernel_.add(e);
}

bool Builder::is_constant(ExprId id, std::int64_t& value) const {
  const Expr& e = kernel_.expr(id);
  if (e.kind != ExprKind::constant || is_float(e.dtype)) return false;
  value = e.bits;
  return true;
}

/// Index arithmetic only: i64 with constants; -1 where nothing folds.
ExprId Builder::fold(Op op, ExprId x, ExprId y) {
  if (type(x) != DType::i64) return -1;
  std::int64_t a = 0, b = 0;
  const bool left = is_constant(x, a), right = is_constant(y, b);
  switch (op) {
    case Op::add:
      if (left && right) return integer(a + b);
      if (left && a == 0) return y;
      if (right && b == 0) return x;
      break;
    case Op::sub:
      if (left && right) return integer(a - b);
      if (right && b == 0) return x;
      break;
    case Op::mul:
      if (left && right) return integer(a * b);
      if ((left && a == 0) || (right && b == 0)) return integer(0);
      if (left && a == 1) return y;
      if (right && b == 1) return x;
      break;
    case Op::div:
      if (left && right && b != 0) return integer(a / b);
      if (right && b == 1) return x;
      break;
    case Op::rem:
      if (left && right && b != 0) return integer(a % b);
      if (right && b == 1) return integer(0);
      break;
    default: break;
  }
  return -1;
}

ExprId Builder::binary(Op op, ExprId x, ExprId y) {
  if (const ExprId folded = fold(op, x, y); folded >= 0) return folded;
  Expr e;
  e.kind = ExprKind::binary;
  e.op = op;
  e.dtype = class_of(op) == OpClass::compare ? DType::boolean : type(x);
  e.args[0] = x;
  e.args[1] = y;
  return kernel_.add(e);
}

ExprId Builder::select(ExprId condition, ExprId yes, ExprId no) {
  if (yes == no) return yes;
  Expr e;
  e.kind = ExprKind::select;
  e.dtype = type(yes);
  e.args[0] = condition;
  e.args[1] = yes;
  e.args[2] = no;
  return kernel_.add(e);
}

ExprId Builder::fma(ExprId x, ExprId y, ExprId z) {
  Expr e;
  e.kind = ExprKind::fma;
  e.dtype = type(x);
  e.args[0] = x;
  e.args[1] = y;
  e.args[2] = z;
  return kernel_.add(e);
}

ExprId Builder::dot_pairs(ExprId x, ExprId y, ExprId z) {
  Expr e;
  e.kind = ExprKind::dot_pairs;
  e.dtype = DType::f32;
  e.args[0] = x;
  e.args[1] = y;
  e.args[2] = z;
  return kernel_.add(e);
}

ExprId Builder::cast(ExprId x, DType to) {
  if (to == DType::f16 || to == DType::bf16) return round_to(cast(x, DType::f32), to);
  if (type(x) == to) return x;
  Expr e;
  e.kind = ExprKind::cast;
  e.dtype = to;
  e.args[0] = x;
  return kernel_.add(e);
}

ExprId Builder::bitcast(ExprId x, DType to) {
  if (type(x) == to) return x;
  Expr e;
  e.kind = ExprKind::bitcast;
  e.dtype = to;
  e.args[0] = x;
  return kernel_.add(e);
}

ExprId Builder::round_to(ExprId x, DType to) {
  if (to == DType::f32) return x;
  check_internal((to == DType::f16 || to == DType::bf16) && type(x) == DType::f32,
                 "loop IR: rounding to no 16-bit float");
  Expr e;
  e.kind = ExprKind::round_to;
  e.dtype = DType::f32;
  e.rounding = to;
  e.args[0] = x;
  return kernel_.add(e);
}

ExprId Builder::join_lanes(std::int32_t local, Op op) {
  Expr e;
  e.kind = ExprKind::join_lanes;
  e.op = op;
  e.dtype = kernel_.locals[static_cast<std::size_t>(local)].dtype;
  e.slot = local;
  return kernel_.add(e);
}

Stmt loop_of(LoopKind kind, std::int32_t index, ExprId extent, std::vector<Stmt> body, int lanes) {
  Stmt s;
  s.kind = StmtKind::loop;
  s.loop = kind;
  s.lanes = lanes;
  s.slot = index;
  s.value = extent;
  s.body = std::move(body);
  return s;
}

Stmt declare(std::int32_t local, ExprId value) {
  Stmt s;
  s.kind = StmtKind::declare;
  s.slot = local;
  s.value = value;
  return s;
}

Stmt assign(std::int32_t local, ExprId value) {
  Stmt s = declare(local, value);
  s.kind = StmtKind::assign;
  return s;
}

Stmt store(std::int32_t buffer, ExprId element, ExprId value) {
  Stmt s;
  s.kind = StmtKind::store;
  s.slot = buffer;
  s.index = element;
  s.value = value;
  return s;
}

Stmt tile_contract(Contraction contraction) {
  Stmt s;
  s.kind = StmtKind::tile_contract;
  s.contraction.push_back(contraction);
  return s;
}

}  // namespace weft::loops
