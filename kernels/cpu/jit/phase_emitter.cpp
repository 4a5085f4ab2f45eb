// Statements and loops of one phase.
#include "kernels/cpu/jit/phase_emitter.hpp"

#include <llvm/IR/IntrinsicsX86.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "weft/error.hpp"

namespace weft::cpu {

using loops::LoopKind;
using loops::Stmt;
using loops::StmtKind;

PhaseEmitter::PhaseEmitter(const loops::Kernel& kernel, const loops::Phase& phase, const JitTarget& target,
                           llvm::Module& module)
    : kernel_(kernel),
      phase_(phase),
      target_(target),
      module_(module),
      builder_(module.getContext()),
      operators_(module, builder_, target),
      buffers_(kernel.buffers.size()),
      stored_(kernel.buffers.size()),
      declared_(kernel.locals.size()),
      changes_(kernel.locals.size()),
      written_at_(kernel.locals.size() + kernel.buffers.size()),
      values_(kernel.expr_count()),
      first_lanes_(kernel.expr_count()),
      depends_(kernel.expr_count()),
      indices_(static_cast<std::size_t>(kernel.index_count())),
      locals_(kernel.locals.size()) {
  find_written(phase.body);
  do {
    find_reads();
  } while (find_repeated(phase.body, false));
}

void PhaseEmitter::find_written(const std::vector<Stmt>& body) {
  for (const Stmt& stmt : body) {
    const auto slot = static_cast<std::size_t>(stmt.slot);
    if (stmt.kind == StmtKind::store) stored_[slot] = true;
    if (stmt.kind == StmtKind::declare) changes_[slot] = kernel_.locals[slot].variable || declared_[slot];
    if (stmt.kind == StmtKind::declare) declared_[slot] = true;
    find_written(stmt.body);
  }
}

void PhaseEmitter::find_reads() {
  reads_.assign(kernel_.expr_count(), {});
  for (std::size_t id = 0; id < reads_.size(); ++id) {
    const loops::Expr& e = kernel_.expr(static_cast<ExprId>(id));
    std::vector<std::uint32_t>& reads = reads_[id];
    for (const ExprId argument : e.args)
      if (argument >= 0) {
        const auto& more = reads_[static_cast<std::size_t>(argument)];
        reads.insert(reads.end(), more.begin(), more.end());
      }
    const auto slot = static_cast<std::size_t>(e.slot);
    if ((e.kind == loops::ExprKind::local && changes_[slot]) || e.kind == loops::ExprKind::join_lanes)
      reads.push_back(static_cast<std::uint32_t>(slot));
    if (e.kind == loops::ExprKind::load && stored_[slot])
      reads.push_back(static_cast<std::uint32_t>(place_of_buffer(e.slot)));
    std::sort(reads.begin(), reads.end());
    reads.erase(std::unique(reads.begin(), reads.end()), reads.end());
  }
}

// What stands in an unrolled loop or a vector loop is emitted several times. Locals declared there from what changes
// change too. Returns whether there were any that were not known.
bool PhaseEmitter::find_repeated(const std::vector<Stmt>& body, bool repeated) {
  bool found = false;
  for (const Stmt& stmt : body) {
    const auto slot = static_cast<std::size_t>(stmt.slot);
    if (stmt.kind == StmtKind::declare && repeated && !changes_[slot] &&
        !reads_[static_cast<std::size_t>(stmt.value)].empty())
      changes_[slot] = found = true;
    if (find_repeated(stmt.body, repeated || stmt.loop != LoopKind::serial)) found = true;
  }
  return found;
}

void PhaseEmitter::mark_written(const std::vector<Stmt>& body, std::vector<bool>& written) const {
  for (const Stmt& stmt : body) {
    if (stmt.kind == StmtKind::store) written[place_of_buffer(stmt.slot)] = true;
    if (stmt.kind == StmtKind::assign || stmt.kind == StmtKind::declare)
      written[static_cast<std::size_t>(stmt.slot)] = true;
    mark_written(stmt.body, written);
  }
}

void PhaseEmitter::written_now(std::size_t place) { written_at_[place] = ++time_; }

void PhaseEmitter::emit(const std::string& name) {
  llvm::Type* pointer = builder_.getPtrTy();
  llvm::Type* i64 = builder_.getInt64Ty();
  function_ = llvm::Function::Create(llvm::FunctionType::get(builder_.getVoidTy(), {pointer, i64, i64}, false),
                                     llvm::Function::ExternalLinkage, name, module_);
  function_->addFnAttr("prefer-vector-width", std::to_string(8 * target_.register_bytes));
  function_->addFnAttr("min-legal-vector-width", std::to_string(8 * target_.register_bytes));
  function_->setDoesNotThrow();
  auto* entry = llvm::BasicBlock::Create(module_.getContext(), "entry", function_);
  auto* guarded = llvm::BasicBlock::Create(module_.getContext(), "run", function_);
  auto* done = llvm::BasicBlock::Create(module_.getContext(), "done", function_);
  builder_.SetInsertPoint(done);
  builder_.CreateRetVoid();
  builder_.SetInsertPoint(entry);
  llvm::Value* begin = function_->getArg(1);
  llvm::Value* end = function_->getArg(2);
  builder_.CreateCondBr(builder_.CreateICmpSLT(begin, end), guarded, done);
  cursor_ = guarded;
  builder_.SetInsertPoint(cursor_);
  for (std::size_t i = 0; i < kernel_.buffers.size(); ++i) {
    const loops::Buffer& buffer = kernel_.buffers[i];
    llvm::Type* element = operators_.memory_type(buffer.dtype, 0);
    if (buffer.argument < 0)
      buffers_[i] = allocate(llvm::ArrayType::get(element, static_cast<std::uint64_t>(buffer.elements)), 64);
    else
      buffers_[i] = builder_.CreateLoad(
          pointer,
          builder_.CreateConstGEP1_64(pointer, function_->getArg(0), static_cast<std::uint64_t>(buffer.argument)));
  }
  open_scope(nullptr, true, nullptr);
  Stmt loop;
  loop.kind = StmtKind::loop;
  loop.slot = phase_.index;
  loop.body = phase_.body;
  emit_range(loop, begin, end, 1, false);
  close_scope();
  builder_.SetInsertPoint(cursor_);
  // Before other threads are told that the phase is done.
  if (streamed_) builder_.CreateIntrinsic(llvm::Intrinsic::x86_sse_sfence, {}, {});
  builder_.CreateBr(done);
}

llvm::AllocaInst* PhaseEmitter::allocate(llvm::Type* type, std::uint64_t alignment) {
  llvm::BasicBlock& entry = function_->getEntryBlock();
  llvm::IRBuilder<> at_entry(&entry, entry.getFirstInsertionPt());
  llvm::AllocaInst* slot = at_entry.CreateAlloca(type);
  if (alignment) slot->setAlignment(llvm::Align(alignment));
  return slot;
}

void PhaseEmitter::open_scope(llvm::BasicBlock* preheader, bool guarded, const std::vector<Stmt>* loop_body) {
  Scope scope;
  scope.serial = static_cast<std::int64_t>(open_.size());
  scope.preheader = preheader;
  scope.guarded = guarded;
  if (loop_body) {
    scope.written.resize(written_at_.size());
    mark_written(*loop_body, scope.written);
    for (std::size_t place = 0; place < scope.written.size(); ++place)
      if (scope.written[place]) written_now(place);
  }
  scopes_.push_back(std::move(scope));
  open_.push_back(true);
}

void PhaseEmitter::close_scope() {
  open_[static_cast<std::size_t>(scopes_.back().serial)] = false;
  scopes_.pop_back();
}

void PhaseEmitter::emit_body(const std::vector<Stmt>& body) {
  for (const Stmt& stmt : body) switch (stmt.kind) {
      case StmtKind::loop: emit_loop(stmt); break;
      case StmtKind::declare: emit_declare(stmt); break;
      case StmtKind::assign: emit_assign(stmt.slot, stmt.value); break;
      case StmtKind::store: emit_store(stmt); break;
      case StmtKind::tile_contract: throw InternalError("loop IR: a tile product reached the emitter");
    }
}

void PhaseEmitter::emit_declare(const Stmt& stmt) {
  const loops::Local& declared = kernel_.locals[static_cast<std::size_t>(stmt.slot)];
  Local local;
  local.bound = true;
  local.depth = static_cast<int>(scopes_.size()) - 1;
  if (declared.variable || declared.lanes > 0) {
    local.lanes = declared.lanes > 0 ? declared.lanes : piece_ && piece_->lanes > 1 ? piece_->lanes : 0;
    local.slot = allocate(operators_.register_type(declared.dtype, local.lanes), 0);
    locals_[static_cast<std::size_t>(stmt.slot)] = local;
    const Computed initial = value(stmt.value);
    if (declared.lanes > 0) check_internal(!initial.vector, "loop IR: lanes declared with a vector");
    llvm::Value* stored = local.lanes > 0 ? as_vector(initial, local.lanes) : initial.value;
    builder_.SetInsertPoint(cursor_);
    builder_.CreateStore(stored, local.slot);
    written_now(static_cast<std::size_t>(stmt.slot));
    return;
  }
  local.definition = stmt.value;
  local.value = value(stmt.value);
  written_now(static_cast<std::size_t>(stmt.slot));
  locals_[static_cast<std::size_t>(stmt.slot)] = local;
}

void PhaseEmitter::emit_assign(std::int32_t slot, ExprId id) {
  const Local& local = local_state(slot);
  check_internal(local.slot, "loop IR: assignment to a local that is not a variable");
  const bool own_lanes = kernel_.locals[static_cast<std::size_t>(slot)].lanes > 0;
  const int lanes = piece_ ? piece_->lanes : 1;
  const Computed computed = value(id);
  check_internal(own_lanes || lanes == 1 || local.lanes > 0,
                 "loop IR: a scalar declared outside a vector loop is assigned inside it");
  llvm::Value* stored = computed.value;
  if (own_lanes && piece_) {
    const int active = piece_->active;
    check_internal(lanes <= local.lanes, "loop IR: a local with fewer lanes than the vector loop that assigns it");
    if (lanes > 1) stored = as_vector(computed, lanes);
    builder_.SetInsertPoint(cursor_);
    if (lanes == 1) {
      llvm::Value* whole = builder_.CreateLoad(local.slot->getAllocatedType(), local.slot);
      stored = builder_.CreateInsertElement(whole, stored, std::uint64_t{0});
    } else if (active < local.lanes) {
      llvm::Value* whole = builder_.CreateLoad(local.slot->getAllocatedType(), local.slot);
      llvm::SmallVector<int, 64> widen, blend;
      for (int i = 0; i < local.lanes; ++i) {
        widen.push_back(i < active ? i : -1);
        blend.push_back(i < active ? local.lanes + i : i);
      }
      stored = builder_.CreateShuffleVector(whole, builder_.CreateShuffleVector(stored, widen), blend);
    }
  } else if (local.lanes > 0) {
    stored = as_vector(computed, local.lanes);
  }
  builder_.SetInsertPoint(cursor_);
  builder_.CreateStore(stored, local.slot);
  written_now(static_cast<std::size_t>(slot));
}

void PhaseEmitter::emit_store(const Stmt& stmt) {
  const DType type = kernel_.buffers[static_cast<std::size_t>(stmt.slot)].dtype;
  const Computed computed = value(stmt.value);
  if (piece_ && piece_->lanes > 1) {
    llvm::Value* lanes = as_vector(computed, piece_->lanes);
    store_lanes(stmt, lanes);
  } else {
    const Address at = address(stmt.slot, stmt.index);
    builder_.SetInsertPoint(cursor_);
    builder_.CreateAlignedStore(operators_.to_memory(type, computed.value), at.pointer.value,
                                llvm::Align(size_of(type)));
  }
  written_now(place_of_buffer(stmt.slot));
}

void PhaseEmitter::bind_index(std::int32_t slot, llvm::Value* at, bool is_vector) {
  Index& index = indices_[static_cast<std::size_t>(slot)];
  index.bound = true;
  index.vector = is_vector;
  index.first = {at, static_cast<int>(scopes_.size()) - 1, false};
}

void PhaseEmitter::emit_loop(const Stmt& loop) {
  if (loop.loop == LoopKind::vector) return emit_vector_loop(loop);
  llvm::Value* extent = scalar(loop.value, "a loop's extent");
  const auto* known = llvm::dyn_cast<llvm::ConstantInt>(extent);
  llvm::Value* zero = builder_.getInt64(0);
  if (loop.loop == LoopKind::unroll) {
    check_internal(known, "loop IR: an unrolled loop's extent is not constant");
    for (std::int64_t i = 0; i < known->getSExtValue(); ++i)
      emit_range(loop, builder_.getInt64(static_cast<std::uint64_t>(i)), nullptr, 1, false);
    return;
  }
  if (known && known->getSExtValue() <= 0) return;
  emit_range(loop, zero, known && known->getSExtValue() == 1 ? nullptr : extent, 1, !known);
}

void PhaseEmitter::emit_range(const Stmt& loop, llvm::Value* first, llvm::Value* end, std::int64_t step, bool guarded) {
  const auto body = [&] {
    if (piece_ && piece_->index == loop.slot) piece_->depth = static_cast<int>(scopes_.size()) - 1;
    emit_body(loop.body);
  };
  const bool is_vector = piece_ && piece_->index == loop.slot && piece_->lanes > 1;
  if (!end) {
    open_scope(nullptr, false, nullptr);
    bind_index(loop.slot, first, is_vector);
    if (is_vector && piece_->ramp) indices_[static_cast<std::size_t>(loop.slot)].first.depth = 0;
    body();
    close_scope();
    indices_[static_cast<std::size_t>(loop.slot)].bound = false;
    return;
  }
  llvm::LLVMContext& context = module_.getContext();
  llvm::BasicBlock* after_guard = nullptr;
  if (guarded) {
    auto* behind = llvm::BasicBlock::Create(context, "guarded", function_);
    after_guard = llvm::BasicBlock::Create(context, "after", function_);
    builder_.SetInsertPoint(cursor_);
    builder_.CreateCondBr(builder_.CreateICmpSLT(first, end), behind, after_guard);
    cursor_ = behind;
    open_scope(nullptr, true, nullptr);
  }
  llvm::BasicBlock* preheader = cursor_;
  auto* header = llvm::BasicBlock::Create(context, "loop", function_);
  auto* exit = llvm::BasicBlock::Create(context, "exit", function_);
  builder_.SetInsertPoint(preheader);
  builder_.CreateBr(header);
  cursor_ = header;
  builder_.SetInsertPoint(header);
  llvm::PHINode* index = builder_.CreatePHI(builder_.getInt64Ty(), 2);
  index->addIncoming(first, preheader);
  open_scope(preheader, false, &loop.body);
  bind_index(loop.slot, index, is_vector);
  body();
  close_scope();
  indices_[static_cast<std::size_t>(loop.slot)].bound = false;
  builder_.SetInsertPoint(cursor_);
  llvm::Value* next = builder_.CreateAdd(index, builder_.getInt64(static_cast<std::uint64_t>(step)), "", true, true);
  index->addIncoming(next, cursor_);
  builder_.CreateCondBr(builder_.CreateICmpSLT(next, end), header, exit);
  cursor_ = exit;
  if (guarded) {
    close_scope();
    builder_.SetInsertPoint(cursor_);
    builder_.CreateBr(after_guard);
    cursor_ = after_guard;
  }
}

// The rest of a vector loop goes in steps of one register, as wide as the widest type that the body writes.
int PhaseEmitter::register_lanes(const Stmt& loop) const {
  std::size_t bytes = 1;
  const auto visit = [&](const auto& self, const std::vector<Stmt>& body) -> void {
    for (const Stmt& stmt : body) {
      self(self, stmt.body);
      if (stmt.kind == StmtKind::loop) continue;
      const DType type = stmt.kind == StmtKind::store ? kernel_.expr(stmt.value).dtype
                                                      : kernel_.locals[static_cast<std::size_t>(stmt.slot)].dtype;
      bytes = std::max(bytes, is_float(type) ? std::max<std::size_t>(4, size_of(type)) : size_of(type));
    }
  };
  visit(visit, loop.body);
  return std::min(loop.lanes, target_.register_bytes / static_cast<int>(bytes));
}

void PhaseEmitter::emit_piece(const Stmt& loop, llvm::Value* first, llvm::Value* end, int lanes, int active) {
  piece_ = Piece{.lanes = lanes, .active = active, .index = loop.slot, .key = ++pieces_};
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(first);
  if (constant) piece_->multiple = std::gcd(constant->getSExtValue(), std::int64_t{active});
  if (constant && !end && lanes > 1) {
    piece_->ramp = true;
    piece_->key = ramps_.try_emplace({loop.slot, constant->getSExtValue(), lanes, active}, pieces_).first->second;
  }
  emit_range(loop, first, end, active, end && !llvm::isa<llvm::ConstantInt>(end));
  piece_.reset();
}

// The iterations from `first` on, fewer than fit in a vector.
void PhaseEmitter::emit_once(const Stmt& loop, std::int64_t first, int count) {
  const int rounded = static_cast<int>(std::bit_ceil(static_cast<unsigned>(count)));
  emit_piece(loop, builder_.getInt64(static_cast<std::uint64_t>(first)), nullptr,
             target_.masked_memory ? std::min(rounded, loop.lanes) : count, count);
}

void PhaseEmitter::emit_vector_loop(const Stmt& loop) {
  check_internal(!piece_, "loop IR: a vector loop inside another one");
  llvm::Value* extent = scalar(loop.value, "a vector loop's extent");
  const std::int64_t lanes = loop.lanes;
  const auto* known = llvm::dyn_cast<llvm::ConstantInt>(extent);
  if (!known) {
    builder_.SetInsertPoint(cursor_);
    llvm::Value* count = builder_.getInt64(static_cast<std::uint64_t>(lanes));
    llvm::Value* whole = builder_.CreateSub(extent, builder_.CreateSRem(extent, count));
    emit_piece(loop, builder_.getInt64(0), whole, loop.lanes, loop.lanes);
    return emit_piece(loop, whole, extent, 1, 1);
  }
  const std::int64_t total = std::max<std::int64_t>(known->getSExtValue(), 0);
  const std::int64_t one = register_lanes(loop);
  // One vector for all, unless whole registers of it were for nothing.
  const auto rounded = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(total)));
  if (total > 0 && total <= lanes && rounded <= (total + one - 1) / one * one)
    return emit_once(loop, 0, static_cast<int>(total));
  std::int64_t done = 0;
  for (const std::int64_t width : {lanes, one}) {
    const std::int64_t whole = done + (total - done) / width * width;
    if (whole == done) continue;
    emit_piece(loop, builder_.getInt64(static_cast<std::uint64_t>(done)),
               whole == done + width ? nullptr : builder_.getInt64(static_cast<std::uint64_t>(whole)),
               static_cast<int>(width), static_cast<int>(width));
    done = whole;
  }
  if (done < total) emit_once(loop, done, static_cast<int>(total - done));
}

}  // namespace weft::cpu
