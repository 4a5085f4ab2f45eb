// Verification of kernels: slots, types and scopes.
#include <fmt/format.h>

#include <utility>

#include "kernels/loops/ir.hpp"
#include "weft/error.hpp"

namespace weft::loops {
namespace {

class Verifier {
 public:
  explicit Verifier(const Kernel& kernel)
      : kernel_(kernel),
        indices_(static_cast<std::size_t>(kernel.index_count()), false),
        locals_(kernel.locals.size(), false),
        seen_(kernel.expr_count(), 0) {}

  void run() {
    for (std::size_t e = 0; e < kernel_.expr_count(); ++e) expression(static_cast<ExprId>(e));
    for (const Phase& phase : kernel_.phases) {
      check(phase.index >= 0 && phase.index < kernel_.index_count(), "a phase without an index");
      check(phase.extent >= 0, "a phase of negative extent");
      indices_[static_cast<std::size_t>(phase.index)] = true;
      statements(phase.body, false);
      indices_[static_cast<std::size_t>(phase.index)] = false;
    }
  }

 private:
  void check(bool ok, const char* what) const {
    if (!ok) throw InternalError(fmt::format("loop IR: {}\n{}", what, kernel_.str()));
  }

  static bool is_16_bit_float(DType t) { return t == DType::f16 || t == DType::bf16; }
  DType type(ExprId e) const { return kernel_.expr(e).dtype; }

  void expression(ExprId id) const {
    const Expr& e = kernel_.expr(id);
    for (const ExprId a : e.args) check(a < id, "an operand that comes later");
    check(!is_16_bit_float(e.dtype), "an expression of a 16-bit float");
    const auto arity = [&](int n) {
      for (int i = 0; i < 3; ++i) check((e.args[i] >= 0) == (i < n), "the wrong number of operands");
    };
    switch (e.kind) {
      case ExprKind::constant: arity(0); break;
      case ExprKind::index:
        arity(0);
        check(e.slot >= 0 && e.slot < kernel_.index_count() && e.dtype == DType::i64, "an index of no loop");
        break;
      case ExprKind::join_lanes:
      case ExprKind::local:
        arity(0);
        check(e.slot >= 0 && static_cast<std::size_t>(e.slot) < kernel_.locals.size(), "a local that is not there");
        check(kernel_.locals[static_cast<std::size_t>(e.slot)].dtype == e.dtype, "a local of another type");
        break;
      case ExprKind::load: {
        arity(1);
        check(e.slot >= 0 && static_cast<std::size_t>(e.slot) < kernel_.buffers.size(), "a load from no buffer");
        const DType held = kernel_.buffers[static_cast<std::size_t>(e.slot)].dtype;
        check(e.dtype == (is_16_bit_float(held) ? DType::f32 : held), "a load of another type");
        check(type(e.args[0]) == DType::i64, "an element index that is not i64");
        break;
      }
      case ExprKind::unary:
      case ExprKind::round_to:
        arity(1);
        check(type(e.args[0]) == e.dtype, "an operand of another type");
        break;
      case ExprKind::binary:
        arity(2);
        check(type(e.args[0]) == type(e.args[1]), "operands of two types");
        check(e.dtype == (class_of(e.op) == OpClass::compare ? DType::boolean : type(e.args[0])),
              "a result of another type");
        break;
      case ExprKind::select:
        arity(3);
        check(type(e.args[0]) == DType::boolean && type(e.args[1]) == e.dtype && type(e.args[2]) == e.dtype,
              "a select of other types");
        break;
      case ExprKind::fma:
        arity(3);
        for (const ExprId a : e.args) check(type(a) == e.dtype && is_float(e.dtype), "an fma of other types");
        break;
      case ExprKind::dot_pairs:
        arity(3);
        check(type(e.args[0]) == DType::u32 && type(e.args[1]) == DType::u32 && type(e.args[2]) == DType::f32 &&
                  e.dtype == DType::f32,
              "a product of pairs of other types");
        break;
      case ExprKind::cast: arity(1); break;
      case ExprKind::bitcast:
        arity(1);
        check(size_of(type(e.args[0])) == size_of(e.dtype), "a bitcast to another size");
        break;
    }
  }

  /// Everything that `id` reads is in scope.
  void in_scope(ExprId id) {
    ++statement_;
    seek_outside(id);
  }

  void seek_outside(ExprId id) {
    if (std::exchange(seen_[static_cast<std::size_t>(id)], statement_) == statement_) return;
    const Expr& e = kernel_.expr(id);
    if (e.kind == ExprKind::index) check(indices_[static_cast<std::size_t>(e.slot)], "an index outside its loop");
    if (e.kind == ExprKind::local || e.kind == ExprKind::join_lanes)
      check(locals_[static_cast<std::size_t>(e.slot)], "a local before its declaration");
    for (const ExprId a : e.args)
      if (a >= 0) seek_outside(a);
  }

  void contraction(const Contraction& t) {
    for (const Tile* tile : {&t.c, &t.a, &t.b}) {
      check(tile->buffer >= 0 && static_cast<std::size_t>(tile->buffer) < kernel_.buffers.size(),
            "a tile of no buffer");
      const DType held = kernel_.buffers[static_cast<std::size_t>(tile->buffer)].dtype;
      check(held == DType::f32 || held == DType::u32 || is_16_bit_float(held), "a tile of other than narrow floats");
      check(tile->start >= 0 && type(tile->start) == DType::i64, "a tile without a start");
      in_scope(tile->start);
    }
    check(kernel_.buffers[static_cast<std::size_t>(t.c.buffer)].dtype == DType::f32, "a tile product not into f32");
    const auto of_pairs = [&](const Tile& tile) {
      return kernel_.buffers[static_cast<std::size_t>(tile.buffer)].dtype == DType::u32;
    };
    check(of_pairs(t.a) == of_pairs(t.b), "a tile product of pairs and single numbers");
    check(t.c.buffer != t.a.buffer && t.c.buffer != t.b.buffer, "a tile product over its own operand");
    check(t.columns >= 1 && t.b.column == 1 && t.c.column == 1, "a tile product whose columns are not neighbours");
    for (const ExprId extent : {t.rows, t.depth}) {
      check(extent >= 0 && type(extent) == DType::i64, "a tile product's extent that is not i64");
      in_scope(extent);
    }
  }

  void statements(const std::vector<Stmt>& body, bool in_vector) {
    std::vector<std::int32_t> declared;
    for (const Stmt& s : body) {
      if (s.kind == StmtKind::tile_contract) {
        check(!in_vector && s.contraction.size() == 1, "a tile product inside a vector loop, or none");
        contraction(s.contraction.front());
        continue;
      }
      check(s.value >= 0, "a statement without a value");
      in_scope(s.value);
      switch (s.kind) {
        case StmtKind::loop: {
          check(type(s.value) == DType::i64, "an extent that is not i64");
          check(!(in_vector && s.loop == LoopKind::vector), "a vector loop inside another");
          check(s.lanes >= 1, "a loop without lanes");
          auto index = indices_[static_cast<std::size_t>(s.slot)];
          check(!index, "a loop that uses an index in use");
          index = true;
          statements(s.body, in_vector || s.loop == LoopKind::vector);
          index = false;
          break;
        }
        case StmtKind::declare: {
          const auto local = static_cast<std::size_t>(s.slot);
          check(!locals_[local], "a local that is declared twice");
          check(kernel_.locals[local].dtype == type(s.value), "a local with a value of another type");
          locals_[local] = true;
          declared.push_back(s.slot);
          break;
        }
        case StmtKind::assign: {
          const auto local = static_cast<std::size_t>(s.slot);
          check(locals_[local] && kernel_.locals[local].variable, "an assignment to something else than a variable");
          check(kernel_.locals[local].dtype == type(s.value), "an assignment of another type");
          break;
        }
        case StmtKind::store: {
          in_scope(s.index);
          const DType held = kernel_.buffers[static_cast<std::size_t>(s.slot)].dtype;
          check(type(s.value) == (is_16_bit_float(held) ? DType::f32 : held), "a store of another type");
          break;
        }
        case StmtKind::tile_contract: break;
      }
    }
    for (const std::int32_t l : declared) locals_[static_cast<std::size_t>(l)] = false;
  }

  const Kernel& kernel_;
  std::vector<bool> indices_;
  std::vector<bool> locals_;
  std::vector<int> seen_;  ///< by expression: the last statement that read it
  int statement_ = 0;
};

}  // namespace

void Kernel::verify() const { Verifier(*this).run(); }

}  // namespace weft::loops
