// Tile products as loops.
#include "kernels/loops/legalise.hpp"

#include <algorithm>
#include <bit>

#include "kernels/loops/build.hpp"

namespace weft::loops {
namespace {

class Legaliser {
 public:
  Legaliser(Kernel& kernel, const TileTarget& target) : b_(kernel), target_(target) {}

  void run(std::vector<Stmt>& body) {
    std::vector<Stmt> result;
    for (Stmt& s : body) {
      if (s.kind == StmtKind::tile_contract) {
        contraction(s.contraction.front(), result);
        continue;
      }
      run(s.body);
      result.push_back(std::move(s));
    }
    body = std::move(result);
  }

 private:
  int register_lanes() const { return target_.register_bytes / 4; }

  /// Registers that a row of C takes: most of them hold C, a few one row of B, one an element of A.
  int row_registers(std::int64_t columns) const {
    const auto needed =
        static_cast<int>(std::min<std::int64_t>((columns + register_lanes() - 1) / register_lanes(), 64));
    return std::min(static_cast<int>(std::bit_floor(static_cast<unsigned>(needed))), target_.registers >= 32 ? 4 : 2);
  }

  /// Rows are taken a few at a time, the rest one by one.
  void contraction(const Contraction& t, std::vector<Stmt>& out) {
    const int wide = row_registers(t.columns), most = target_.registers >= 32 ? 16 : 8;
    const int height = most / wide;
    std::int64_t rows = -1;
    if (b_.is_constant(t.rows, rows)) {
      if (rows >= height) out.push_back(strips(t, b_.integer(rows / height), height, b_.integer(0), wide));
      if (rows % height != 0)
        out.push_back(
            strips(t, b_.integer(1), static_cast<int>(rows % height), b_.integer(rows / height * height), wide));
      return;
    }
    const ExprId whole = b_.div(t.rows, b_.integer(height));
    out.push_back(strips(t, whole, height, b_.integer(0), wide));
    const ExprId done = b_.mul(whole, b_.integer(height));
    out.push_back(strips(t, b_.sub(t.rows, done), 1, done, wide));
  }

  /// `count` strips of `height` rows from row `first` on.
  Stmt strips(const Contraction& t, ExprId count, int height, ExprId first, int wide) {
    const std::int32_t strip = b_.kernel().add_index();
    const ExprId row = b_.add(first, b_.mul(b_.index(strip), b_.integer(height)));
    return loop_of(LoopKind::serial, strip, count, {strip_of(t, row, height, wide)});
  }

  ExprId at(const Tile& tile, ExprId i, int more, ExprId j) {
    const ExprId row = b_.add(b_.mul(i, b_.integer(tile.row)), b_.integer(more * tile.row));
    return b_.add(b_.add(tile.start, row), b_.mul(j, b_.integer(tile.column)));
  }

  Stmt strip_of(const Contraction& t, ExprId row, int height, int wide) {
    Kernel& kernel = b_.kernel();
    const std::int32_t lane = kernel.add_index(), step = kernel.add_index();
    const ExprId j = b_.index(lane), p = b_.index(step);
    std::vector<Stmt> body, sums, stores;
    const ExprId y = b_.load(t.b.buffer, at(t.b, p, 0, j));
    const bool of_pairs = b_.type(y) == DType::u32;
    for (int i = 0; i < height; ++i) {
      const std::int32_t sum = kernel.add_local({DType::f32, true, 0});
      const ExprId element = at(t.c, row, i, j);
      body.push_back(declare(sum, t.accumulate ? b_.load(t.c.buffer, element) : b_.real(0)));
      const ExprId x = b_.load(t.a.buffer, at(t.a, row, i, p));
      sums.push_back(assign(sum, of_pairs ? b_.dot_pairs(x, y, b_.local(sum)) : b_.fma(x, y, b_.local(sum))));
      stores.push_back(store(t.c.buffer, element, b_.local(sum)));
    }
    body.push_back(loop_of(LoopKind::serial, step, t.depth, std::move(sums)));
    std::move(stores.begin(), stores.end(), std::back_inserter(body));
    return loop_of(LoopKind::vector, lane, b_.integer(t.columns), std::move(body), wide * register_lanes());
  }

  Builder b_;
  TileTarget target_;
};

}  // namespace

Kernel legalised(const Kernel& kernel, const TileTarget& target) {
  Kernel result = kernel;
  Legaliser legaliser(result, target);
  for (Phase& phase : result.phases) legaliser.run(phase.body);
  return result;
}

}  // namespace weft::loops
