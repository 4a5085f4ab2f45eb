// Values of expressions, and where they are computed.
#include <llvm/IR/Constants.h>

#include <algorithm>

#include "kernels/cpu/jit/phase_emitter.hpp"
#include "weft/error.hpp"

namespace weft::cpu {

using loops::Expr;
using loops::ExprKind;

bool PhaseEmitter::still_valid(const Kept& kept, ExprId id) const {
  if (kept.scope < 0 || !open_[static_cast<std::size_t>(kept.scope)]) return false;
  if (kept.piece != 0 && (!piece_ || kept.piece != piece_->key)) return false;
  for (const std::uint32_t place : reads_[static_cast<std::size_t>(id)])
    if (written_at_[place] > kept.time) return false;
  return true;
}

const PhaseEmitter::Computed* PhaseEmitter::find(const std::vector<Kept>& kept, ExprId id) const {
  const Kept& entry = kept[static_cast<std::size_t>(id)];
  return still_valid(entry, id) ? &entry.computed : nullptr;
}

PhaseEmitter::Computed PhaseEmitter::keep(std::vector<Kept>& kept, ExprId id, Computed computed, bool of_piece) {
  kept[static_cast<std::size_t>(id)] = {computed, scopes_[static_cast<std::size_t>(computed.depth)].serial, time_,
                                        of_piece ? piece_->key : 0};
  return computed;
}

int PhaseEmitter::least_depth(int depth) const {
  for (int d = static_cast<int>(scopes_.size()) - 1; d > depth; --d)
    if (scopes_[static_cast<std::size_t>(d)].guarded) return d;
  return depth;
}

// The innermost open loop that writes `place`, when it is further in than `depth`.
int PhaseEmitter::writers_depth(std::size_t place, int depth) const {
  for (int d = static_cast<int>(scopes_.size()) - 1; d > depth; --d) {
    const Scope& scope = scopes_[static_cast<std::size_t>(d)];
    if (scope.preheader && scope.written[place]) return d;
  }
  return depth;
}

void PhaseEmitter::go_to(int depth) {
  for (std::size_t d = static_cast<std::size_t>(depth) + 1; d < scopes_.size(); ++d)
    if (scopes_[d].preheader) return builder_.SetInsertPoint(scopes_[d].preheader->getTerminator());
  builder_.SetInsertPoint(cursor_);
}

llvm::Value* PhaseEmitter::scalar(ExprId id, const char* what) {
  const Computed computed = value(id);
  if (computed.vector) throw InternalError(std::string("loop IR: ") + what + " depends on a vector loop's variable");
  return computed.value;
}

llvm::Value* PhaseEmitter::as_vector(Computed x, int lanes) {
  if (x.vector) return x.value;
  if (auto* constant = llvm::dyn_cast<llvm::Constant>(x.value))
    return llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(static_cast<unsigned>(lanes)), constant);
  Splat& splat = splats_[x.value];
  if (splat.lanes == lanes && open_[static_cast<std::size_t>(splat.scope)]) return splat.value;
  const int depth = least_depth(x.depth);
  go_to(depth);
  splat = {builder_.CreateVectorSplat(static_cast<unsigned>(lanes), x.value), lanes,
           scopes_[static_cast<std::size_t>(depth)].serial};
  return splat.value;
}

PhaseEmitter::Computed PhaseEmitter::value(ExprId id) {
  if (const Computed* known = find(values_, id)) return *known;
  const Computed computed = compute(id);
  return keep(values_, id, computed, computed.vector);
}

PhaseEmitter::Computed PhaseEmitter::compute(ExprId id) {
  const Expr& e = kernel_.expr(id);
  switch (e.kind) {
    case ExprKind::constant: return {operators_.constant(e.dtype, e.bits), least_depth(0), false};
    case ExprKind::local: return compute_local(e);
    case ExprKind::load: return compute_load(e);
    case ExprKind::join_lanes: return compute_join(e);
    case ExprKind::index: {
      const Index& index = indices_[static_cast<std::size_t>(e.slot)];
      check_internal(index.bound, "loop IR: an index is used outside its loop");
      const Computed first{index.first.value, least_depth(index.first.depth), false};
      if (!index.vector) return first;
      llvm::Value* splat = as_vector(first, piece_->lanes);
      go_to(first.depth);
      return {builder_.CreateAdd(splat, lane_steps(1)), first.depth, true};
    }
    default: return compute_operator(e);
  }
}

const PhaseEmitter::Local& PhaseEmitter::local_state(std::int32_t slot) const {
  const Local& local = locals_[static_cast<std::size_t>(slot)];
  check_internal(local.bound, "loop IR: a local is used before its declaration");
  return local;
}

// Of a local with lanes of its own, those of this iteration.
llvm::Value* PhaseEmitter::read_lanes(const Local& local) {
  llvm::Value* whole = builder_.CreateLoad(local.slot->getAllocatedType(), local.slot);
  if (piece_->lanes == 1) return builder_.CreateExtractElement(whole, std::uint64_t{0});
  if (piece_->lanes == local.lanes) return whole;
  check_internal(piece_->lanes < local.lanes, "loop IR: a local with fewer lanes than the vector loop that reads it");
  llvm::SmallVector<int, 64> lanes;
  for (int i = 0; i < piece_->lanes; ++i) lanes.push_back(i);
  return builder_.CreateShuffleVector(whole, lanes);
}

PhaseEmitter::Computed PhaseEmitter::compute_local(const Expr& e) {
  const Local& local = local_state(e.slot);
  if (!local.slot) return local.value;
  int depth = least_depth(writers_depth(static_cast<std::size_t>(e.slot), local.depth));
  if (kernel_.locals[static_cast<std::size_t>(e.slot)].lanes > 0) {
    check_internal(piece_.has_value(), "loop IR: the lanes of a local are read outside a vector loop");
    depth = std::max(depth, piece_->depth);
    go_to(depth);
    return {read_lanes(local), depth, piece_->lanes > 1};
  }
  go_to(depth);
  return {builder_.CreateLoad(local.slot->getAllocatedType(), local.slot), depth, local.lanes > 0};
}

PhaseEmitter::Computed PhaseEmitter::compute_join(const Expr& e) {
  const Local& local = local_state(e.slot);
  const DType type = kernel_.locals[static_cast<std::size_t>(e.slot)].dtype;
  check_internal(local.slot, "loop IR: joined lanes of a local that is not a variable");
  const int depth = least_depth(writers_depth(static_cast<std::size_t>(e.slot), local.depth));
  go_to(depth);
  llvm::Value* whole = builder_.CreateLoad(local.slot->getAllocatedType(), local.slot);
  return {local.lanes > 0 ? operators_.join(e.op, type, whole) : whole, depth, false};
}

PhaseEmitter::Computed PhaseEmitter::compute_operator(const Expr& e) {
  Computed arguments[3];
  std::size_t count = 0;
  Computed result{nullptr, 0, false};
  for (; count < 3 && e.args[count] >= 0; ++count) {
    arguments[count] = value(e.args[count]);
    result.depth = std::max(result.depth, arguments[count].depth);
    result.vector = result.vector || arguments[count].vector;
  }
  check_internal(count > 0, "loop IR: an operator without operands");
  llvm::Value* x[3] = {nullptr, nullptr, nullptr};
  for (std::size_t i = 0; i < count; ++i)
    x[i] = result.vector ? as_vector(arguments[i], piece_->lanes) : arguments[i].value;
  result.depth = least_depth(result.depth);
  go_to(result.depth);
  result.value = apply(e, llvm::ArrayRef(x, count), piece_ ? piece_->active : 1);
  return result;
}

llvm::Value* PhaseEmitter::apply(const Expr& e, llvm::ArrayRef<llvm::Value*> x, int active) {
  const DType from = kernel_.expr(e.args[0]).dtype;
  switch (e.kind) {
    case ExprKind::unary: return operators_.unary(e.op, from, x[0], active);
    case ExprKind::binary: return operators_.binary(e.op, from, x[0], x[1], active);
    case ExprKind::select: return builder_.CreateSelect(x[0], x[1], x[2]);
    case ExprKind::fma: return operators_.fma(x[0], x[1], x[2]);
    case ExprKind::dot_pairs: return operators_.dot_pairs(x[0], x[1], x[2]);
    case ExprKind::cast: return operators_.cast(from, e.dtype, x[0]);
    case ExprKind::bitcast: return operators_.bitcast(from, e.dtype, x[0]);
    case ExprKind::round_to: return operators_.round_to(e.rounding, x[0]);
    default: throw InternalError("loop IR: an expression of unknown kind");
  }
}

}  // namespace weft::cpu
