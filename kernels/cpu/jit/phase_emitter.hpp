// One phase of a kernel as an LLVM function. Internal to this folder: LLVM's headers.
//
// Where a value is computed. Scopes are nested as the loops are; each knows its `preheader`, the block before its loop.
// An expression belongs to the outermost scope in which everything that it depends on is known: its depth. Its code
// goes to the end of the preheader of the next loop further in, or, when there is none, to the current place. So code
// hoisted out of a loop still stands after all statements that came before the loop. A value is kept as long as its
// scope is open and no variable or buffer that it was read from is written.
//
// A loop of which the number of iterations is not known may have none: its preheader stands behind a test, in a scope
// of its own out of which nothing is hoisted, so that nothing is loaded that the kernel would not load.
//
// A vector loop is emitted in pieces: the lanes asked for, then a register's, then what is left; each is a scope with
// its own copy of the body. In a piece whatever depends on the loop's variable is a vector of `lanes`, of which
// `active` are wanted: the lanes above are masked off in memory and hold anything. A piece that runs once is no loop:
// its variable is a constant ramp, so what depends on nothing else further in is hoisted out of the loops around it.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cpu/jit/operators.hpp"
#include "kernels/loops/ir.hpp"

namespace weft::cpu {

class PhaseEmitter {
 public:
  PhaseEmitter(const loops::Kernel& kernel, const loops::Phase& phase, const JitTarget& target, llvm::Module& module);

  /// Adds `void name(std::byte* const* arguments, i64 begin, i64 end)`.
  void emit(const std::string& name);

 private:
  using ExprId = loops::ExprId;

  struct Computed {
    llvm::Value* value = nullptr;
    int depth = 0;        ///< scope that it belongs to
    bool vector = false;  ///< one lane an iteration of the vector loop; else a scalar
  };
  struct Kept {
    Computed computed;
    std::int64_t scope = -1;  ///< serial number of the scope
    std::int64_t time = 0;
    std::int64_t piece = 0;  ///< the only one in which it holds; 0: any
  };
  struct Scope {
    std::int64_t serial = 0;
    llvm::BasicBlock* preheader = nullptr;  ///< of a loop; others are straight code in the scope around them
    bool guarded = false;
    std::vector<bool> written;  ///< of a loop: what its body writes, see `places`
  };
  struct Index {
    bool bound = false;
    Computed first;  ///< its value, in lane 0 when it is the vector loop's
    bool vector = false;
  };
  struct Local {
    bool bound = false;
    llvm::AllocaInst* slot = nullptr;  ///< variables
    int lanes = 0;                     ///< of the slot
    int depth = 0;
    Computed value{};        ///< others
    ExprId definition = -1;  ///< others
  };
  struct Piece {
    int lanes = 1;
    int active = 1;
    std::int32_t index = -1;
    std::int64_t key = 0;       ///< pieces that run once with equal lanes of an equal ramp have one key
    bool ramp = false;          ///< of constant indices
    std::int64_t multiple = 1;  ///< every first lane's index is one of it
    int depth = 0;
  };
  struct Splat {
    llvm::Value* value = nullptr;
    int lanes = 0;
    std::int64_t scope = -1;
  };
  /// An element index is a sum of terms.
  struct Term {
    ExprId expr = -1;
    std::int64_t scale = 1;
  };
  /// Lane i's element is at pointer[i * step + offsets[i]].
  struct Address {
    Computed pointer{};
    std::int64_t step = 0;
    llvm::Value* offsets = nullptr;  ///< null: none
    int depth = 0;                   ///< of all of it
  };

  // phase_emitter.cpp: statements and loops.
  void find_written(const std::vector<loops::Stmt>& body);
  void find_reads();
  bool find_repeated(const std::vector<loops::Stmt>& body, bool repeated);
  void mark_written(const std::vector<loops::Stmt>& body, std::vector<bool>& written) const;
  void open_scope(llvm::BasicBlock* preheader, bool guarded, const std::vector<loops::Stmt>* loop_body);
  void close_scope();
  void emit_body(const std::vector<loops::Stmt>& body);
  void emit_declare(const loops::Stmt& stmt);
  void emit_assign(std::int32_t slot, ExprId value);
  void emit_store(const loops::Stmt& stmt);
  void emit_loop(const loops::Stmt& loop);
  void emit_vector_loop(const loops::Stmt& loop);
  void emit_piece(const loops::Stmt& loop, llvm::Value* first, llvm::Value* end, int lanes, int active);
  void emit_once(const loops::Stmt& loop, std::int64_t first, int count);
  int register_lanes(const loops::Stmt& loop) const;
  /// The body for index = first, first + step, … below end; `end` null: for `first` alone.
  void emit_range(const loops::Stmt& loop, llvm::Value* first, llvm::Value* end, std::int64_t step, bool guarded);
  void bind_index(std::int32_t slot, llvm::Value* value, bool is_vector);
  void written_now(std::size_t place);

  // expressions.cpp: values, and where they are computed.
  Computed value(ExprId id);
  Computed compute(ExprId id);
  Computed compute_local(const loops::Expr& e);
  Computed compute_join(const loops::Expr& e);
  Computed compute_operator(const loops::Expr& e);
  llvm::Value* apply(const loops::Expr& e, llvm::ArrayRef<llvm::Value*> x, int active);
  Computed keep(std::vector<Kept>& kept, ExprId id, Computed computed, bool of_piece);
  const Computed* find(const std::vector<Kept>& kept, ExprId id) const;
  bool still_valid(const Kept& kept, ExprId id) const;
  llvm::Value* as_vector(Computed x, int lanes);
  llvm::Value* scalar(ExprId id, const char* what);
  void go_to(int depth);
  int least_depth(int depth) const;
  int writers_depth(std::size_t place, int depth) const;
  const Local& local_state(std::int32_t slot) const;
  llvm::Value* read_lanes(const Local& local);

  // addresses.cpp: memory.
  Computed compute_load(const loops::Expr& e);
  bool depends_on_vector(ExprId id);
  /// What one more iteration of the vector loop adds to `id`; empty when it is not constant.
  std::optional<std::int64_t> stride(ExprId id);
  /// The value in lane 0 of what has a stride.
  Computed first_lane(ExprId id);
  bool is_definition(ExprId id) const;
  void split(ExprId id, std::int64_t scale, std::vector<Term>& terms, std::int64_t& constant);
  Address address(std::int32_t buffer, ExprId element);
  Computed advance(llvm::Type* element, Computed pointer, Computed elements);
  llvm::Value* load_lanes(DType type, const Address& from);
  void store_lanes(const loops::Stmt& stmt, llvm::Value* lanes);
  /// What an element's place in its buffer is a multiple of, in bytes, in a piece of whole vectors.
  std::int64_t known_multiple(std::int32_t buffer, ExprId element);
  llvm::Value* lane_pointers(llvm::Type* element, const Address& at);
  llvm::Value* lane_steps(std::int64_t step);
  llvm::Value* active_mask();

  std::size_t place_of_buffer(std::int32_t slot) const {
    return kernel_.locals.size() + static_cast<std::size_t>(slot);
  }
  llvm::AllocaInst* allocate(llvm::Type* type, std::uint64_t alignment);

  const loops::Kernel& kernel_;
  const loops::Phase& phase_;
  const JitTarget& target_;
  llvm::Module& module_;
  IrBuilder builder_;
  Operators operators_;

  llvm::Function* function_ = nullptr;
  llvm::BasicBlock* cursor_ = nullptr;  ///< code in order goes to its end
  std::vector<llvm::Value*> buffers_;
  std::vector<bool> stored_;              ///< buffers that this phase writes
  std::vector<bool> declared_, changes_;  ///< locals; those that change are variables, or declared more than once
  /// Places: locals, then buffers. Those written in this phase that an expression reads; empty vectors for most.
  std::vector<std::vector<std::uint32_t>> reads_;
  std::vector<std::int64_t> written_at_;
  std::int64_t time_ = 0;
  std::vector<Scope> scopes_;
  std::vector<bool> open_;  ///< by serial number
  std::vector<Kept> values_, first_lanes_;
  std::unordered_map<llvm::Value*, Splat> splats_;
  std::vector<std::pair<std::int64_t, bool>> depends_;  ///< the piece it holds for, and whether on its variable
  std::int64_t pieces_ = 0;
  std::map<std::array<std::int64_t, 4>, std::int64_t> ramps_;  ///< keys, by variable, first index, lanes and active
  std::vector<Index> indices_;
  std::vector<Local> locals_;
  std::optional<Piece> piece_;
  bool streamed_ = false;  ///< some store went past the caches
};

}  // namespace weft::cpu
