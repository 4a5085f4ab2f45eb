// Loop IR: what generated kernels are written in before an emitter turns them into code for a device.
//
// A kernel is a list of phases; each runs its body for every index of one parallel loop, in any order and on any
// threads, and begins when the phase before it is done. Bodies are statements over scalar expressions. A loop of kind
// `vector` may be executed `lanes` iterations at a time: whatever depends on its variable, or on a local declared
// inside it, then is a vector, and everything else stays a scalar. Expressions are shared (equal ones have one id) and
// pure; an emitter evaluates each in the outermost loop on which it depends, so templates need not hoist.
//
// Operators are those of weft/op.hpp that are elementary: neg abs sqrt floor ceil round_even logical_not bit_not; add
// sub mul div rem maximum minimum, bit and shift operators, logical ones; compares; select; cast. Integers wrap,
// division by zero gives 0, shifts by the width or more give 0 or -1: as op.hpp states. Other functions are expanded
// into these (math.hpp), or, for f64, left to the emitter (is_library_function). f16 and bf16 are storage types: loads
// widen to f32, casts and stores round; no other expression has such a type. Booleans are stored as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/op.hpp"

namespace weft::loops {

using ExprId = std::int32_t;

enum class ExprKind : std::uint8_t {
  constant,   ///< `bits`: an i64, or the bits of an f64, converted to `dtype` exactly
  index,      ///< loop variable `slot` (i64), the parallel one included
  local,      ///< local `slot`
  load,       ///< element args[0] (i64) of buffer `slot`
  unary,      ///< op
  binary,     ///< op; operands of `dtype`, but for a compare's, which gives a boolean
  select,     ///< args: boolean, yes, no
  fma,        ///< args[0] * args[1] + args[2], rounded once where the target can, else twice
  cast,       ///< Tensor::cast's meaning: float to integer truncates and saturates, NaN gives 0; to boolean is != 0
  bitcast,    ///< same size
  round_to,   ///< f32 rounded to `rounding` (f16 or bf16, nearest even) and back
  dot_pairs,  ///< args[2], f32, + two products of bf16 numbers: args[0] and args[1] are u32, two numbers each, low half
              ///< first; how often it is rounded is the target's business, which may take subnormal numbers for 0
  join_lanes  ///< the lanes of local `slot`, joined by `op` (add, mul, maximum, minimum) to a scalar
};

struct Expr {
  ExprKind kind = ExprKind::constant;
  DType dtype = DType::i64;
  Op op = Op::add;
  DType rounding = DType::f32;
  std::int32_t slot = -1;
  ExprId args[3] = {-1, -1, -1};
  std::int64_t bits = 0;
  bool operator==(const Expr&) const = default;
};

/// Memory that a kernel reads or writes. Buffers of different arguments never overlap, but for a result that lies
/// exactly over an operand.
struct Buffer {
  DType dtype = DType::f32;
  int argument = 0;           ///< among the launch's arguments; -1: private to each thread
  std::int64_t elements = 0;  ///< private ones only
};

/// A value with a name. A variable is assigned to; any other local has the value of its declaration.
struct Local {
  DType dtype = DType::f32;
  bool variable = false;
  /// 0: a scalar, or as many lanes as the vector loop around its declaration has. Else so many lanes, declared outside
  /// the vector loop that accumulates into it: in that loop an assignment touches the lanes of the iteration only.
  int lanes = 0;
};

enum class LoopKind : std::uint8_t { serial, vector, unroll };
enum class StmtKind : std::uint8_t { loop, declare, assign, store, tile_contract };

/// A matrix in a buffer: element [i, j] is `start` + i * row + j * column.
struct Tile {
  std::int32_t buffer = -1;
  ExprId start = -1;
  std::int64_t row = 0, column = 1;
};

/// C[i, j] = (C[i, j], or 0) + the sum over p of A[i, p] * B[p, j], for i < rows, j < columns, p < depth, in f32. The
/// tile C overlaps neither A nor B. How it is computed is the target's business (legalise.hpp): vectors of fused
/// multiply-adds, units for small matrices, plain loops. Terms are added in the order of p, one rounding each, unless
/// the target's own product joins neighbours first. Where A and B are of u32, each element is a pair of bf16 numbers,
/// depth counts pairs, and a term is both products of a pair (dot_pairs).
struct Contraction {
  Tile c, a, b;
  ExprId rows = -1, depth = -1;  ///< i64
  std::int64_t columns = 0;
  bool accumulate = false;
};

struct Stmt {
  StmtKind kind = StmtKind::store;
  // loop: variable `slot` from 0 to `value` (i64), exclusive.
  LoopKind loop = LoopKind::serial;
  int lanes = 1;  ///< vector: at most so many iterations at once
  std::vector<Stmt> body{};
  // declare and assign: local `slot`; store: buffer `slot`, element `index`.
  std::int32_t slot = -1;
  ExprId index = -1;
  ExprId value = -1;
  /// store: what is written is read much later, if at all, and may go past the caches. A hint; who launches a kernel
  /// with such stores sees to it that the buffer begins at a multiple of 64 bytes.
  bool streaming = false;
  /// tile_contract: the one; it stands outside vector loops.
  std::vector<Contraction> contraction{};
};

struct Phase {
  std::int32_t index = -1;  ///< the parallel loop's variable
  std::int64_t extent = 1;
  std::int64_t work = 0;  ///< elements touched in all: little work is not worth a team
  std::vector<Stmt> body;
};

class Kernel {
 public:
  const Expr& expr(ExprId id) const { return exprs_[static_cast<std::size_t>(id)]; }
  std::size_t expr_count() const { return exprs_.size(); }

  /// The id of an expression equal to `e`, added when there is none.
  ExprId add(const Expr& e);

  std::int32_t add_index() { return indices_++; }
  std::int32_t add_local(Local local);
  std::int32_t add_buffer(Buffer buffer);

  std::vector<Buffer> buffers;
  std::vector<Local> locals;
  std::vector<Phase> phases;

  std::int32_t index_count() const { return indices_; }

  /// Types, slots, scopes: a variable, an index or a local is used inside its loop or after its declaration only.
  /// Throws InternalError saying what is wrong.
  void verify() const;
  /// The kernel as text, complete: equal texts are equal kernels.
  std::string str() const;

 private:
  struct Hash {
    std::size_t operator()(const Expr& e) const;
  };
  std::vector<Expr> exprs_;
  std::unordered_map<Expr, ExprId, Hash> known_;
  std::int32_t indices_ = 0;
};

/// Whether an operator of f64 (and `rem` of any float) is called from the C library instead of being expanded.
bool is_library_function(Op op);

}  // namespace weft::loops
