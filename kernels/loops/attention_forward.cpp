// Attention: one task for each block of queries of each head of each sample.
#include <limits>

#include "kernels/loops/attention_problem.hpp"
#include "kernels/loops/math.hpp"

namespace weft::loops {
namespace {

constexpr double kAttentionInfinity = std::numeric_limits<double>::infinity();

class Forward {
 public:
  Forward(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body) : a_(kernel, problem), body_(body) {
    const auto buffer = [&](const StridedView& view, DType type) {
      return kernel.add_buffer({type, view.argument, 0});
    };
    const Graph& graph = body.body;
    const auto type = [&](int i) { return graph.type(body.node->inputs[static_cast<std::size_t>(i)]).dtype; };
    q_ = buffer(*problem.q, type(0));
    k_ = buffer(*problem.k, type(1));
    v_ = buffer(*problem.v, type(2));
    if (problem.mask != nullptr) mask_ = buffer(*problem.mask, problem.mask_type);
    if (body.results[0]) y_ = buffer(*body.results[0], type(0));
    if (body.results[1]) most_of_rows_ = buffer(*body.results[1], DType::f32);
    if (body.results[2]) shares_ = buffer(*body.results[2], DType::f32);
    if (problem.pairs) {
      q_pairs_ = a_.pairs_of(q_), k_pairs_ = a_.pairs_of(k_);
      packed_ = a_.own(problem.features / 2 * problem.widest(), DType::u32);
      chances_ = a_.own((problem.tallest() + 1) / 2 * problem.widest(), DType::u32);
      values_ = a_.own((problem.tallest() + 1) / 2 * problem.values, DType::u32);
    } else {
      packed_ = a_.own(problem.features * problem.widest());
    }
    scores_ = a_.own(problem.tallest() * problem.widest());
    sums_ = a_.own(problem.widest() * problem.values);
    most_ = a_.own(problem.widest());
    total_ = a_.own(problem.widest());
    shrink_ = a_.own(problem.widest());
  }

  void run() {
    const AttentionProblem& p = a_.p;
    if (p.whole_blocks() > 0) phase(p.whole_blocks(), a_.number(0), p.query_block);
    if (p.rest() > 0) phase(1, a_.number(p.whole_blocks() * p.query_block), p.rest());
  }

 private:
  Builder& b() { return a_.b; }

  void phase(std::int64_t blocks, ExprId first, std::int64_t count) {
    const AttentionProblem& p = a_.p;
    Phase phase;
    phase.index = a_.new_index();
    phase.extent = p.batch * p.heads * blocks;
    phase.work = p.batch * p.heads * blocks * count * p.keys;
    const ExprId task = b().index(phase.index);
    const ExprId block = b().binary(Op::rem, task, a_.number(blocks));
    const QueryBlock rows{a_.head_of(b().div(task, a_.number(blocks))), a_.add(first, a_.times(block, count)), count};
    phase.body = statements(rows);
    b().kernel().phases.push_back(std::move(phase));
  }

  std::vector<Stmt> statements(const QueryBlock& rows) {
    const AttentionProblem& p = a_.p;
    std::vector<Stmt> body;
    if (p.pairs)
      body.push_back(a_.pack_transposed(a_.pair_tile(*p.q, q_pairs_, rows.at.batch, rows.first, rows.at.head), packed_,
                                        rows.count, p.features / 2, 1));
    else
      body.push_back(a_.pack_transposed(a_.tile(*p.q, q_, rows.at.batch, rows.first, rows.at.head), packed_, rows.count,
                                        p.features, p.scale));
    body.push_back(a_.fill(a_.whole(most_, rows.count), a_.number(1), rows.count, -kAttentionInfinity));
    body.push_back(a_.fill(a_.whole(total_, rows.count), a_.number(1), rows.count, 0));
    body.push_back(a_.fill(a_.whole(sums_, p.values), a_.number(rows.count), p.values, 0));
    const ExprId visible = a_.visible_keys(rows);
    const ExprId blocks = b().div(a_.add(visible, a_.number(p.key_block - 1)), a_.number(p.key_block));
    body.push_back(a_.loop(blocks, [&](ExprId j) { return block_of_keys(rows, a_.key_block(j, visible)); }));
    finish(rows, body);
    return body;
  }

  std::vector<Stmt> block_of_keys(const QueryBlock& rows, const KeyBlock& keys) {
    const AttentionProblem& p = a_.p;
    std::vector<Stmt> body;
    const Tile k = p.pairs ? a_.pair_tile(*p.k, k_pairs_, rows.at.batch, keys.first, rows.at.group)
                           : a_.tile(*p.k, k_, rows.at.batch, keys.first, rows.at.group);
    const Tile v = a_.tile(*p.v, v_, rows.at.batch, keys.first, rows.at.group);
    body.push_back(a_.products(k, packed_, scores_, rows, keys, p.pairs ? p.features / 2 : p.features));
    body.push_back(a_.vector(rows.count, kAttentionLanes, [&](ExprId c) { return probabilities(rows, keys, c); }));
    if (p.key_blocks() > 1) body.push_back(rescale(rows));
    Contraction t;
    t.c = a_.whole(sums_, p.values);
    t.a = AttentionBuilder::transposed(a_.whole(p.pairs ? chances_ : scores_, rows.count));
    t.b = v;
    t.rows = a_.number(rows.count);
    t.depth = keys.count;
    if (p.pairs) {
      std::vector<Stmt> packing = a_.pack_rows(v, values_, a_.pairs_in(keys), a_.lone_in(keys), 2, 1, p.values);
      std::move(packing.begin(), packing.end(), std::back_inserter(body));
      t.b = a_.whole(values_, p.values);
      t.depth = a_.add(a_.pairs_in(keys), a_.lone_in(keys));
    }
    t.columns = p.values;
    t.accumulate = true;
    body.push_back(tile_contract(t));
    return body;
  }

  /// Scores less their maximum so far become exponentials; the sum follows the maximum.
  std::vector<Stmt> probabilities(const QueryBlock& rows, const KeyBlock& keys, ExprId c) {
    std::vector<Stmt> body;
    const std::int32_t most = a_.variable(), sum = a_.variable();
    const ExprId former = b().load(most_, c);
    body.push_back(declare(most, former));
    body.push_back(a_.loop(keys.count, [&](ExprId r) {
      // A local, read twice: the store changes what the expression loads.
      const std::int32_t s = a_.b.kernel().add_local({DType::f32, false, 0});
      std::vector<Stmt> each = {declare(s, a_.score(scores_, mask_, rows, keys, r, c))};
      if (a_.masks()) each.push_back(store(scores_, a_.add(a_.times(r, rows.count), c), b().local(s)));
      // A NaN may be passed over here: its exponential is NaN.
      const ExprId higher = b().binary(Op::less, b().local(most), b().local(s));
      each.push_back(assign(most, b().select(higher, b().local(s), b().local(most))));
      return each;
    }));
    // Where everything was masked so far, exponentials are of -infinity, and 0.
    const std::int32_t shift = a_.b.kernel().add_local({DType::f32, false, 0});
    const ExprId all_masked = b().binary(Op::equal, b().local(most), b().real(-kAttentionInfinity));
    body.push_back(declare(shift, b().select(all_masked, b().real(0), b().local(most))));
    body.push_back(declare(sum, b().real(0)));
    const auto exponential = [&](ExprId r, std::vector<Stmt>& each) {
      const ExprId s = b().load(scores_, a_.add(a_.times(r, rows.count), c));
      const std::int32_t e = a_.b.kernel().add_local({DType::f32, false, 0});
      each.push_back(declare(e, a_.exponential(s, b().local(shift))));
      each.push_back(assign(sum, b().add(b().local(sum), b().local(e))));
      return b().local(e);
    };
    if (!a_.p.pairs) {
      body.push_back(a_.loop(keys.count, [&](ExprId r) {
        std::vector<Stmt> each;
        const ExprId e = exponential(r, each);
        each.push_back(store(scores_, a_.add(a_.times(r, rows.count), c), e));
        return each;
      }));
    } else {
      const auto of_pair = [&](ExprId i, bool paired) {
        std::vector<Stmt> each;
        const ExprId low = exponential(a_.times(i, 2), each);
        const ExprId high = paired ? exponential(a_.add(a_.times(i, 2), a_.number(1)), each) : b().real(0);
        each.push_back(store(chances_, a_.add(a_.times(i, rows.count), c), a_.pair(low, high)));
        return each;
      };
      body.push_back(a_.loop(a_.pairs_in(keys), [&](ExprId i) { return of_pair(i, true); }));
      body.push_back(a_.loop(a_.lone_in(keys), [&](ExprId i) { return of_pair(a_.add(a_.pairs_in(keys), i), false); }));
    }
    const std::int32_t factor = a_.b.kernel().add_local({DType::f32, false, 0});
    body.push_back(declare(factor, exp_of_differences(b(), b().sub(former, b().local(shift)))));
    body.push_back(store(total_, c, b().fma(b().load(total_, c), b().local(factor), b().local(sum))));
    body.push_back(store(shrink_, c, b().local(factor)));
    body.push_back(store(most_, c, b().local(most)));
    return body;
  }

  Stmt rescale(const QueryBlock& rows) {
    return a_.loop(a_.number(rows.count), [&](ExprId row) {
      return std::vector{a_.vector(a_.p.values, kAttentionLanes, [&](ExprId e) {
        const ExprId at = a_.add(a_.times(row, a_.p.values), e);
        return std::vector{store(sums_, at, b().mul(b().load(sums_, at), b().load(shrink_, row)))};
      })};
    });
  }

  /// 1 / `sum`; where that is 0, for all was masked, 0 or NaN.
  ExprId share_of(ExprId sum) {
    const ExprId zero = b().real(0), one = b().real(1), empty = b().binary(Op::equal, sum, zero);
    return a_.p.zero_masked ? b().select(empty, zero, b().div(one, sum)) : b().div(b().select(empty, zero, one), sum);
  }

  void finish(const QueryBlock& rows, std::vector<Stmt>& body) {
    if (y_ >= 0)
      body.push_back(a_.loop(a_.number(rows.count), [&](ExprId row) {
        const ExprId share = share_of(b().load(total_, row));
        return std::vector{a_.vector(a_.p.values, kAttentionLanes, [&](ExprId e) {
          const ExprId to = a_.element(*body_.results[0], rows.at.batch, a_.add(rows.first, row), rows.at.head, e);
          return std::vector{store(y_, to, b().mul(b().load(sums_, a_.add(a_.times(row, a_.p.values), e)), share))};
        })};
      }));
    if (most_of_rows_ < 0 && shares_ < 0) return;
    body.push_back(a_.vector(rows.count, kAttentionLanes, [&](ExprId c) {
      const ExprId sum = b().load(total_, c), zero = b().real(0);
      ExprId most = b().load(most_, c);
      if (a_.p.zero_masked) most = b().select(b().binary(Op::equal, sum, zero), zero, most);
      std::vector<Stmt> stores;
      if (most_of_rows_ >= 0) stores.push_back(store(most_of_rows_, a_.row_element(*body_.results[1], rows, c), most));
      if (shares_ >= 0) stores.push_back(store(shares_, a_.row_element(*body_.results[2], rows, c), share_of(sum)));
      return stores;
    }));
  }

  AttentionBuilder a_;
  const StridedBody& body_;
  std::int32_t q_ = -1, k_ = -1, v_ = -1, mask_ = -1, y_ = -1, most_of_rows_ = -1, shares_ = -1;
  std::int32_t q_pairs_ = -1, k_pairs_ = -1, chances_ = -1, values_ = -1;  ///< pairs: u32
  std::int32_t packed_, scores_, sums_, most_, total_, shrink_;            ///< the thread's own
};

}  // namespace

void build_attention(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body) {
  Forward(kernel, problem, body).run();
}

}  // namespace weft::loops
