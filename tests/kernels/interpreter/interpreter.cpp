// Statements and expressions, executed.
#include "tests/kernels/interpreter/interpreter.hpp"

#include "tests/kernels/interpreter/scalar.hpp"
#include "weft/error.hpp"

namespace weft::loops::testing {
namespace {

class Interpreter {
 public:
  Interpreter(const Kernel& kernel, const std::vector<std::byte*>& arguments, InterpreterOptions options)
      : kernel_(kernel),
        options_(options),
        indices_(static_cast<std::size_t>(kernel.index_count())),
        locals_(kernel.locals.size()),
        values_(kernel.expr_count()),
        computed_(kernel.expr_count()) {
    for (const Buffer& buffer : kernel.buffers) {
      const auto bytes = static_cast<std::size_t>(buffer.elements) * size_of(buffer.dtype);
      private_.emplace_back(buffer.argument < 0 ? bytes : 0);
      buffers_.push_back(buffer.argument < 0 ? private_.back().data()
                                             : arguments.at(static_cast<std::size_t>(buffer.argument)));
    }
  }

  void run() {
    for (const Phase& phase : kernel_.phases)
      for (std::int64_t i = 0; i < phase.extent; ++i) {
        indices_[static_cast<std::size_t>(phase.index)] = i;
        statements(phase.body);
      }
  }

 private:
  void statements(const std::vector<Stmt>& body) {
    for (const Stmt& stmt : body) statement(stmt);
  }

  void contract(const Contraction& t) {
    const auto at = [&](const Tile& tile, std::int64_t i, std::int64_t j) {
      return element(tile.buffer, {0, evaluate(tile.start).integer + i * tile.row + j * tile.column});
    };
    const auto type = [&](const Tile& tile) { return kernel_.buffers[static_cast<std::size_t>(tile.buffer)].dtype; };
    const std::int64_t rows = evaluate(t.rows).integer, depth = evaluate(t.depth).integer;
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < t.columns; ++j) {
        Scalar sum = t.accumulate ? load(type(t.c), at(t.c, i, j)) : Scalar{};
        for (std::int64_t p = 0; p < depth; ++p)
          sum = term(type(t.a), load(type(t.a), at(t.a, i, p)), load(type(t.b), at(t.b, p, j)), sum);
        store(type(t.c), sum, at(t.c, i, j));
      }
  }

  Scalar term(DType type, Scalar x, Scalar y, Scalar sum) const {
    const bool fused = options_.fused_multiply_add;
    return type == DType::u32 ? dot_pairs(x, y, sum, fused) : multiply_add(DType::f32, x, y, sum, fused);
  }

  void statement(const Stmt& stmt) {
    if (stmt.kind == StmtKind::tile_contract) return contract(stmt.contraction.front());
    const auto slot = static_cast<std::size_t>(stmt.slot);
    const Scalar x = evaluate(stmt.value);
    switch (stmt.kind) {
      case StmtKind::loop: {
        for (std::int64_t i = 0; i < x.integer; ++i) {
          indices_[slot] = i;
          if (stmt.loop == LoopKind::vector) lane_ = static_cast<std::size_t>(i);
          statements(stmt.body);
        }
        break;
      }
      case StmtKind::declare: {
        const int lanes = kernel_.locals[slot].lanes;
        locals_[slot].assign(static_cast<std::size_t>(lanes > 0 ? lanes : 1), x);
        break;
      }
      case StmtKind::assign: local(stmt.slot) = x; break;
      case StmtKind::store: store(kernel_.buffers[slot].dtype, x, element(stmt.slot, evaluate(stmt.index))); break;
      case StmtKind::tile_contract: break;
    }
  }

  Scalar& local(std::int32_t slot) {
    std::vector<Scalar>& lanes = locals_[static_cast<std::size_t>(slot)];
    check_internal(!lanes.empty(), "loop interpreter: a local before its declaration");
    return lanes[lane_ % lanes.size()];
  }

  std::byte* element(std::int32_t slot, Scalar index) {
    const Buffer& buffer = kernel_.buffers[static_cast<std::size_t>(slot)];
    check_internal(index.integer >= 0 && (buffer.argument >= 0 || index.integer < buffer.elements),
                   "loop interpreter: an element outside its buffer");
    return buffers_[static_cast<std::size_t>(slot)] + static_cast<std::size_t>(index.integer) * size_of(buffer.dtype);
  }

  /// Nothing changes while one expression of a statement is evaluated, so what it shares is computed once.
  Scalar evaluate(ExprId id) {
    ++time_;
    return value(id);
  }

  Scalar value(ExprId id) {
    const auto at = static_cast<std::size_t>(id);
    if (computed_[at] == time_) return values_[at];
    const Scalar x = compute(kernel_.expr(id));
    computed_[at] = time_;
    return values_[at] = x;
  }

  Scalar join(const Expr& e) {
    std::vector<Scalar> lanes = locals_[static_cast<std::size_t>(e.slot)];
    check_internal(!lanes.empty(), "loop interpreter: lanes of a local before its declaration");
    for (std::size_t half = lanes.size() / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) lanes[i] = binary(e.op, e.dtype, lanes[i], lanes[half + i]);
      if (half * 2 < lanes.size()) lanes[0] = binary(e.op, e.dtype, lanes[0], lanes[half * 2]);
      lanes.resize(half);
    }
    return lanes[0];
  }

  Scalar compute(const Expr& e) {
    switch (e.kind) {
      case ExprKind::constant: return constant(e.dtype, e.bits);
      case ExprKind::index: return {0, indices_[static_cast<std::size_t>(e.slot)]};
      case ExprKind::local: return local(e.slot);
      case ExprKind::join_lanes: return join(e);
      case ExprKind::load:
        return load(kernel_.buffers[static_cast<std::size_t>(e.slot)].dtype, element(e.slot, value(e.args[0])));
      case ExprKind::select: {
        // Both: an emitter evaluates what stands on either side, loads included.
        const Scalar yes = value(e.args[1]), no = value(e.args[2]);
        return value(e.args[0]).integer != 0 ? yes : no;
      }
      default: break;
    }
    const DType from = kernel_.expr(e.args[0]).dtype;
    const Scalar x = value(e.args[0]);
    switch (e.kind) {
      case ExprKind::unary: return unary(e.op, from, x);
      case ExprKind::binary: return binary(e.op, from, x, value(e.args[1]));
      case ExprKind::fma: return multiply_add(from, x, value(e.args[1]), value(e.args[2]), options_.fused_multiply_add);
      case ExprKind::dot_pairs: return dot_pairs(x, value(e.args[1]), value(e.args[2]), options_.fused_multiply_add);
      case ExprKind::cast: return cast(from, e.dtype, x);
      case ExprKind::bitcast: return bitcast(from, e.dtype, x);
      case ExprKind::round_to: return round_to(e.rounding, x);
      default: throw InternalError("loop interpreter: an expression of unknown kind");
    }
  }

  const Kernel& kernel_;
  InterpreterOptions options_;
  std::vector<std::byte*> buffers_;
  std::vector<std::vector<std::byte>> private_;
  std::vector<std::int64_t> indices_;
  std::vector<std::vector<Scalar>> locals_;
  std::size_t lane_ = 0;
  std::vector<Scalar> values_;
  std::vector<std::int64_t> computed_;  ///< when each was, by `time_`
  std::int64_t time_ = 0;
};

}  // namespace

void interpret(const Kernel& kernel, const std::vector<std::byte*>& arguments, InterpreterOptions options) {
  kernel.verify();
  Interpreter(kernel, arguments, options).run();
}

}  // namespace weft::loops::testing
