// Loads, stores, and the addresses of elements.
//
// An element index is split into its terms. Those of one depth are added up where that depth is computed, and the
// pointer advances outermost first, constants last: in the innermost loop one pointer, one index and a displacement
// remain.
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/cpu/jit/phase_emitter.hpp"
#include "weft/error.hpp"

namespace weft::cpu {

using loops::Expr;
using loops::ExprKind;

namespace {

constexpr std::int64_t kLine = 64;  ///< bytes of a cache line

}  // namespace

bool PhaseEmitter::depends_on_vector(ExprId id) {
  if (!piece_ || piece_->lanes == 1) return false;
  auto& known = depends_[static_cast<std::size_t>(id)];
  if (known.first == pieces_) return known.second;
  const Expr& e = kernel_.expr(id);
  bool depends = false;
  if (e.kind == ExprKind::index) {
    depends = e.slot == piece_->index;
  } else if (e.kind == ExprKind::local) {
    const Local& local = local_state(e.slot);
    depends = local.slot ? local.lanes > 0 : local.value.vector;
  } else {
    for (const ExprId argument : e.args)
      if (argument >= 0 && depends_on_vector(argument)) depends = true;
  }
  depends_[static_cast<std::size_t>(id)] = {pieces_, depends};
  return depends;
}

// Whether a local can be replaced by the expression that it was declared with.
bool PhaseEmitter::is_definition(ExprId id) const {
  const Expr& e = kernel_.expr(id);
  if (e.kind != ExprKind::local) return false;
  const Local& local = local_state(e.slot);
  return local.definition >= 0 && reads_[static_cast<std::size_t>(local.definition)].empty();
}

std::optional<std::int64_t> PhaseEmitter::stride(ExprId id) {
  if (!depends_on_vector(id)) return 0;
  const Expr& e = kernel_.expr(id);
  if (e.kind == ExprKind::index) return 1;
  if (is_definition(id)) return stride(local_state(e.slot).definition);
  if (e.kind != ExprKind::binary) return std::nullopt;
  const Expr& right = kernel_.expr(e.args[1]);
  const Expr& left = kernel_.expr(e.args[0]);
  if (e.op == Op::mul && right.kind == ExprKind::constant) {
    const auto x = stride(e.args[0]);
    return x ? std::optional(*x * right.bits) : std::nullopt;
  }
  if (e.op == Op::mul && left.kind == ExprKind::constant) {
    const auto y = stride(e.args[1]);
    return y ? std::optional(*y * left.bits) : std::nullopt;
  }
  if (e.op != Op::add && e.op != Op::sub) return std::nullopt;
  const auto x = stride(e.args[0]);
  const auto y = stride(e.args[1]);
  if (!x || !y) return std::nullopt;
  return e.op == Op::add ? *x + *y : *x - *y;
}

PhaseEmitter::Computed PhaseEmitter::first_lane(ExprId id) {
  if (!depends_on_vector(id)) return value(id);
  if (const Computed* known = find(first_lanes_, id)) return *known;
  const Expr& e = kernel_.expr(id);
  if (e.kind == ExprKind::index) {
    const Computed& first = indices_[static_cast<std::size_t>(e.slot)].first;
    return keep(first_lanes_, id, {first.value, least_depth(first.depth), false}, true);
  }
  if (is_definition(id)) return first_lane(local_state(e.slot).definition);
  const Computed x = first_lane(e.args[0]);
  const Computed y = first_lane(e.args[1]);
  const int depth = least_depth(std::max(x.depth, y.depth));
  go_to(depth);
  return keep(first_lanes_, id, {operators_.binary(e.op, e.dtype, x.value, y.value, 1), depth, false}, true);
}

void PhaseEmitter::split(ExprId id, std::int64_t scale, std::vector<Term>& terms, std::int64_t& constant) {
  const Expr& e = kernel_.expr(id);
  if (e.kind == ExprKind::constant) {
    constant += e.bits * scale;
  } else if (e.kind == ExprKind::binary && (e.op == Op::add || e.op == Op::sub)) {
    split(e.args[0], scale, terms, constant);
    split(e.args[1], e.op == Op::add ? scale : -scale, terms, constant);
  } else if (e.kind == ExprKind::binary && e.op == Op::mul && kernel_.expr(e.args[1]).kind == ExprKind::constant) {
    split(e.args[0], scale * kernel_.expr(e.args[1]).bits, terms, constant);
  } else if (is_definition(id)) {
    split(local_state(e.slot).definition, scale, terms, constant);
  } else {
    const auto same = std::find_if(terms.begin(), terms.end(), [&](const Term& term) { return term.expr == id; });
    if (same != terms.end())
      same->scale += scale;
    else
      terms.push_back({id, scale});
  }
}

PhaseEmitter::Computed PhaseEmitter::advance(llvm::Type* element, Computed pointer, Computed elements) {
  const int depth = least_depth(std::max(pointer.depth, elements.depth));
  go_to(depth);
  return {builder_.CreateGEP(element, pointer.value, elements.value), depth, false};
}

PhaseEmitter::Address PhaseEmitter::address(std::int32_t buffer, ExprId element_index) {
  const std::size_t slot = static_cast<std::size_t>(buffer);
  std::vector<Term> terms;
  std::int64_t constant = 0;
  split(element_index, 1, terms, constant);
  Address result;
  std::vector<Computed> scalars;
  const auto times = [&](llvm::Value* x, std::int64_t scale) {
    return builder_.CreateMul(x, llvm::ConstantInt::get(x->getType(), static_cast<std::uint64_t>(scale), true));
  };
  for (const Term& term : terms) {
    if (const auto step = stride(term.expr)) {
      result.step += *step * term.scale;
      const Computed x = first_lane(term.expr);
      if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(x.value)) {
        constant += known->getSExtValue() * term.scale;
        result.depth = std::max(result.depth, x.depth);
        continue;
      }
      go_to(x.depth);
      scalars.push_back({times(x.value, term.scale), x.depth, false});
      continue;
    }
    const Computed x = value(term.expr);
    result.depth = std::max(result.depth, x.depth);
    builder_.SetInsertPoint(cursor_);
    go_to(result.depth);
    llvm::Value* scaled = times(x.value, term.scale);
    result.offsets = result.offsets ? builder_.CreateAdd(result.offsets, scaled) : scaled;
  }
  std::stable_sort(scalars.begin(), scalars.end(),
                   [](const Computed& a, const Computed& b) { return a.depth < b.depth; });
  llvm::Type* element = operators_.memory_type(kernel_.buffers[slot].dtype, 0);
  result.pointer = {buffers_[slot], least_depth(0), false};
  for (std::size_t i = 0; i < scalars.size();) {
    Computed sum = scalars[i];
    go_to(sum.depth);
    for (++i; i < scalars.size() && scalars[i].depth == sum.depth; ++i)
      sum.value = builder_.CreateAdd(sum.value, scalars[i].value);
    result.pointer = advance(element, result.pointer, sum);
  }
  if (constant != 0)
    result.pointer = advance(element, result.pointer,
                             {builder_.getInt64(static_cast<std::uint64_t>(constant)), result.pointer.depth, false});
  result.depth = std::max(result.depth, result.pointer.depth);
  return result;
}

llvm::Value* PhaseEmitter::lane_steps(std::int64_t step) {
  llvm::SmallVector<llvm::Constant*, 64> lanes;
  for (int i = 0; i < piece_->lanes; ++i)
    lanes.push_back(llvm::ConstantInt::get(builder_.getInt64Ty(), static_cast<std::uint64_t>(i * step), true));
  return llvm::ConstantVector::get(lanes);
}

llvm::Value* PhaseEmitter::active_mask() {
  llvm::SmallVector<llvm::Constant*, 64> lanes;
  for (int i = 0; i < piece_->lanes; ++i) lanes.push_back(builder_.getInt1(i < piece_->active));
  return llvm::ConstantVector::get(lanes);
}

llvm::Value* PhaseEmitter::lane_pointers(llvm::Type* element, const Address& at) {
  llvm::Value* offsets = lane_steps(at.step);
  if (at.offsets) offsets = builder_.CreateAdd(at.offsets, offsets);
  return builder_.CreateGEP(element, at.pointer.value, offsets);
}

PhaseEmitter::Computed PhaseEmitter::compute_load(const Expr& e) {
  const DType type = kernel_.buffers[static_cast<std::size_t>(e.slot)].dtype;
  const Address from = address(e.slot, e.args[0]);
  const bool is_vector = from.offsets || from.step != 0;
  int depth = from.depth;
  if (is_vector && !piece_->ramp) depth = std::max(depth, piece_->depth);
  if (stored_[static_cast<std::size_t>(e.slot)]) depth = writers_depth(place_of_buffer(e.slot), depth);
  depth = least_depth(depth);
  go_to(depth);
  llvm::Value* raw = is_vector ? load_lanes(type, from)
                               : builder_.CreateAlignedLoad(operators_.memory_type(type, 0), from.pointer.value,
                                                            llvm::Align(size_of(type)));
  return {operators_.from_memory(type, raw), depth, is_vector};
}

llvm::Value* PhaseEmitter::load_lanes(DType type, const Address& from) {
  const int lanes = piece_->lanes;
  llvm::Type* whole = operators_.memory_type(type, lanes);
  llvm::Type* element = operators_.memory_type(type, 0);
  const llvm::Align align(size_of(type));
  const bool all = piece_->active == lanes;
  if (!from.offsets && from.step == 1) {
    if (all) return builder_.CreateAlignedLoad(whole, from.pointer.value, align);
    return builder_.CreateMaskedLoad(whole, from.pointer.value, align, active_mask(),
                                     llvm::Constant::getNullValue(whole));
  }
  if (!from.offsets && all && (from.step == -1 || from.step == 2)) {
    const auto last = static_cast<std::uint64_t>(static_cast<std::int64_t>(lanes - 1) * (from.step < 0 ? -1 : 1));
    llvm::Value* second = builder_.CreateAlignedLoad(
        whole, builder_.CreateGEP(element, from.pointer.value, builder_.getInt64(last)), align);
    llvm::SmallVector<int, 64> order;
    if (from.step == -1) {
      for (int i = lanes - 1; i >= 0; --i) order.push_back(i);
      return builder_.CreateShuffleVector(second, order);
    }
    // Two loads that share one element reach exactly as far as the lanes do.
    llvm::Value* first = builder_.CreateAlignedLoad(whole, from.pointer.value, align);
    for (int i = 0; i < lanes; ++i) order.push_back(2 * i < lanes ? 2 * i : lanes + 2 * i - (lanes - 1));
    return builder_.CreateShuffleVector(first, second, order);
  }
  return builder_.CreateMaskedGather(whole, lane_pointers(element, from), align, all ? nullptr : active_mask(),
                                     llvm::Constant::getNullValue(whole));
}

std::int64_t PhaseEmitter::known_multiple(std::int32_t buffer, ExprId element_index) {
  std::vector<Term> terms;
  std::int64_t multiple = 0;
  split(element_index, 1, terms, multiple);
  for (const Term& term : terms) {
    const Expr& e = kernel_.expr(term.expr);
    const bool lane = e.kind == ExprKind::index && e.slot == piece_->index;
    multiple = std::gcd(multiple, term.scale * (lane ? piece_->multiple : 1));
  }
  return multiple * static_cast<std::int64_t>(size_of(kernel_.buffers[static_cast<std::size_t>(buffer)].dtype));
}

void PhaseEmitter::store_lanes(const loops::Stmt& stmt, llvm::Value* lanes) {
  const std::int32_t buffer = stmt.slot;
  const ExprId element_index = stmt.index;
  const DType type = kernel_.buffers[static_cast<std::size_t>(buffer)].dtype;
  const Address at = address(buffer, element_index);
  check_internal(at.offsets || at.step != 0, "loop IR: all lanes of a vector loop store to one element");
  builder_.SetInsertPoint(cursor_);
  llvm::Value* raw = operators_.to_memory(type, lanes);
  const llvm::Align align(size_of(type));
  const bool all = piece_->active == piece_->lanes;
  if (!at.offsets && at.step == 1) {
    const std::int64_t whole = piece_->lanes * static_cast<std::int64_t>(size_of(type));
    const std::int64_t line = std::min(whole, kLine);
    if (all && stmt.streaming && line >= 16 && std::has_single_bit(static_cast<std::uint64_t>(whole)) &&
        known_multiple(buffer, element_index) % line == 0) {
      auto* past = builder_.CreateAlignedStore(raw, at.pointer.value, llvm::Align(static_cast<std::uint64_t>(line)));
      past->setMetadata(llvm::LLVMContext::MD_nontemporal,
                        llvm::MDNode::get(module_.getContext(), llvm::ConstantAsMetadata::get(builder_.getInt32(1))));
      streamed_ = true;
    } else if (all)
      builder_.CreateAlignedStore(raw, at.pointer.value, align);
    else
      builder_.CreateMaskedStore(raw, at.pointer.value, align, active_mask());
    return;
  }
  llvm::Value* pointers = lane_pointers(operators_.memory_type(type, 0), at);
  builder_.CreateMaskedScatter(raw, pointers, align, all ? nullptr : active_mask());
}

}  // namespace weft::cpu
