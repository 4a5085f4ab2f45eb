// Sharing of expressions, and kernels as text.
#include "kernels/loops/ir.hpp"

#include <fmt/format.h>

#include <functional>

namespace weft::loops {

std::size_t Kernel::Hash::operator()(const Expr& e) const {
  std::size_t h = static_cast<std::size_t>(e.kind) * 131 + static_cast<std::size_t>(e.dtype);
  const auto mix = [&](std::uint64_t v) { h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2); };
  mix(static_cast<std::uint64_t>(e.op));
  mix(static_cast<std::uint64_t>(e.rounding));
  mix(static_cast<std::uint64_t>(e.slot));
  for (const ExprId a : e.args) mix(static_cast<std::uint64_t>(a));
  mix(static_cast<std::uint64_t>(e.bits));
  return h;
}

ExprId Kernel::add(const Expr& e) {
  const auto [at, added] = known_.try_emplace(e, static_cast<ExprId>(exprs_.size()));
  if (added) exprs_.push_back(e);
  return at->second;
}

std::int32_t Kernel::add_local(Local local) {
  locals.push_back(local);
  return static_cast<std::int32_t>(locals.size()) - 1;
}

std::int32_t Kernel::add_buffer(Buffer buffer) {
  buffers.push_back(buffer);
  return static_cast<std::int32_t>(buffers.size()) - 1;
}

bool is_library_function(Op op) {
  switch (op) {
    case Op::exp:
    case Op::expm1:
    case Op::log:
    case Op::log1p:
    case Op::sin:
    case Op::cos:
    case Op::tan:
    case Op::asin:
    case Op::acos:
    case Op::atan:
    case Op::sinh:
    case Op::cosh:
    case Op::asinh:
    case Op::acosh:
    case Op::atanh:
    case Op::tanh:
    case Op::erf:
    case Op::pow:
    case Op::rem: return true;
    default: return false;
  }
}

namespace {

/// "e12" for what has a line of its own; leaves are written where they are used. Malformed kernels are printed too.
std::string text_of(const Kernel& kernel, ExprId id) {
  if (id < 0 || static_cast<std::size_t>(id) >= kernel.expr_count()) return "nothing";
  const Expr& e = kernel.expr(id);
  switch (e.kind) {
    case ExprKind::constant: return fmt::format("{}:{:x}", name_of(e.dtype), static_cast<std::uint64_t>(e.bits));
    case ExprKind::index: return fmt::format("i{}", e.slot);
    case ExprKind::local: return fmt::format("t{}", e.slot);
    default: return fmt::format("e{}", id);
  }
}

std::string line_of(const Kernel& kernel, const Expr& e) {
  std::string args;
  for (const ExprId a : e.args)
    if (a >= 0) args += (args.empty() ? "" : ", ") + text_of(kernel, a);
  switch (e.kind) {
    case ExprKind::load: return fmt::format("b{}[{}]", e.slot, args);
    case ExprKind::select: return fmt::format("select({})", args);
    case ExprKind::fma: return fmt::format("fma({})", args);
    case ExprKind::dot_pairs: return fmt::format("dot_pairs({})", args);
    case ExprKind::cast: return fmt::format("cast({})", args);
    case ExprKind::bitcast: return fmt::format("bitcast({})", args);
    case ExprKind::round_to: return fmt::format("round_to_{}({})", name_of(e.rounding), args);
    case ExprKind::join_lanes: return fmt::format("join_{}(t{})", name_of(e.op), e.slot);
    default: return fmt::format("{}({})", name_of(e.op), args);
  }
}

bool is_leaf(const Expr& e) {
  return e.kind == ExprKind::constant || e.kind == ExprKind::index || e.kind == ExprKind::local;
}

class Printer {
 public:
  explicit Printer(const Kernel& kernel) : kernel_(kernel) {}

  std::string run() {
    for (std::size_t b = 0; b < kernel_.buffers.size(); ++b) {
      const Buffer& buffer = kernel_.buffers[b];
      text_ += buffer.argument >= 0
                   ? fmt::format("buffer b{}: {} argument {}\n", b, name_of(buffer.dtype), buffer.argument)
                   : fmt::format("buffer b{}: {} private {}\n", b, name_of(buffer.dtype), buffer.elements);
    }
    for (std::size_t l = 0; l < kernel_.locals.size(); ++l) {
      const Local& local = kernel_.locals[l];
      text_ += fmt::format("local t{}: {}{}{}\n", l, name_of(local.dtype), local.variable ? " variable" : "",
                           local.lanes > 0 ? fmt::format(" lanes {}", local.lanes) : "");
    }
    for (std::size_t e = 0; e < kernel_.expr_count(); ++e) {
      const Expr& expr = kernel_.expr(static_cast<ExprId>(e));
      if (!is_leaf(expr)) text_ += fmt::format("e{}: {} = {}\n", e, name_of(expr.dtype), line_of(kernel_, expr));
    }
    for (const Phase& phase : kernel_.phases) {
      text_ += fmt::format("phase i{} < {}\n", phase.index, phase.extent);
      statements(phase.body, 1);
    }
    return std::move(text_);
  }

 private:
  void statements(const std::vector<Stmt>& body, int depth) {
    static constexpr const char* kLoops[] = {"for", "vector", "unroll"};
    for (const Stmt& s : body) {
      text_.append(static_cast<std::size_t>(depth) * 2, ' ');
      switch (s.kind) {
        case StmtKind::loop:
          text_ += fmt::format("{} i{} < {}", kLoops[static_cast<int>(s.loop)], s.slot, text_of(kernel_, s.value));
          text_ += s.loop == LoopKind::vector ? fmt::format(" lanes {}\n", s.lanes) : "\n";
          statements(s.body, depth + 1);
          break;
        case StmtKind::declare:
        case StmtKind::assign:
          text_ += fmt::format("{} t{} = {}\n", s.kind == StmtKind::declare ? "let" : "set", s.slot,
                               text_of(kernel_, s.value));
          break;
        case StmtKind::store:
          text_ += fmt::format("{}b{}[{}] = {}\n", s.streaming ? "stream " : "", s.slot, text_of(kernel_, s.index),
                               text_of(kernel_, s.value));
          break;
        case StmtKind::tile_contract: {
          const Contraction& t = s.contraction.front();
          text_ +=
              fmt::format("tile {} {} {} x {}, rows {} columns {} depth {}\n", tile(t.c), t.accumulate ? "+=" : "=",
                          tile(t.a), tile(t.b), text_of(kernel_, t.rows), t.columns, text_of(kernel_, t.depth));
          break;
        }
      }
    }
  }

  std::string tile(const Tile& t) const {
    return fmt::format("b{}[{} + {} i + {} j]", t.buffer, text_of(kernel_, t.start), t.row, t.column);
  }

  const Kernel& kernel_;
  std::string text_;
};

}  // namespace

std::string Kernel::str() const { return Printer(*this).run(); }

}  // namespace weft::loops
