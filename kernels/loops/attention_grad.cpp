// Attention's gradient: one task for each head of k and v of each sample, or for a part of its queries.
#include "kernels/loops/attention_problem.hpp"

namespace weft::loops {
namespace {

/// Vectors of pairs of queries, for two keys at a time.
constexpr int kPairLanes = 16;

class Gradient {
 public:
  Gradient(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body, int threads)
      : a_(kernel, problem), body_(body) {
    const Graph& graph = body.body;
    const auto operand = [&](std::size_t i) {
      return kernel.add_buffer({graph.type(body.node->inputs[i]).dtype, body.operands[i].argument, 0});
    };
    dy_ = operand(0), q_ = operand(1), k_ = operand(2), v_ = operand(3), y_ = operand(4), most_ = operand(5),
    shares_ = operand(6);
    if (problem.mask != nullptr) mask_ = operand(7);
    type_ = graph.type(body.node->inputs[1]).dtype;
    const auto result = [&](std::size_t i) {
      return body.results[i] ? kernel.add_buffer({type_, body.results[i]->argument, 0}) : -1;
    };
    dq_ = result(0), dk_ = result(1), dv_ = result(2);
    choose_parts(threads, static_cast<int>(graph.inputs().size() + graph.outputs().size()));
    const AttentionProblem& p = problem;
    if (p.pairs)
      own_pairs();
    else
      packed_q_ = a_.own(p.features * p.widest()), packed_dy_ = a_.own(p.values * p.widest());
    scores_ = a_.own(p.tallest() * p.widest());
    slopes_ = a_.own(p.tallest() * p.widest());
    delta_ = a_.own(p.widest());
    sums_ = a_.own(p.widest() * p.features);
  }

  /// Returns the bytes of scratch.
  std::int64_t run() {
    const AttentionProblem& p = a_.p;
    Phase phase;
    phase.index = a_.new_index();
    phase.extent = p.batch * p.groups * parts_;
    phase.work = p.batch * p.heads * p.queries * p.keys;
    phase.body = task(b().index(phase.index));
    b().kernel().phases.push_back(std::move(phase));
    if (scratch_ >= 0 && dk_ >= 0) join(*body_.results[1], dk_, 0, p.features);
    if (scratch_ >= 0 && dv_ >= 0) join(*body_.results[2], dv_, part_elements() * p.features, p.values);
    return scratch_ < 0 ? 0 : part_elements() * (p.features + p.values) * 4;
  }

 private:
  Builder& b() { return a_.b; }
  std::int64_t share() const { return a_.p.heads / a_.p.groups; }
  std::int64_t units() const { return share() * a_.p.blocks(); }  ///< blocks of queries that one head of k and v meets
  std::int64_t part_elements() const { return a_.p.batch * a_.p.groups * parts_ * a_.p.keys; }

  void own_pairs() {
    const AttentionProblem& p = a_.p;
    dy_pairs_ = a_.pairs_of(dy_), q_pairs_ = a_.pairs_of(q_), k_pairs_ = a_.pairs_of(k_), v_pairs_ = a_.pairs_of(v_);
    const auto own = [&](std::int64_t elements) { return a_.own(elements, DType::u32); };
    const std::int64_t half = (p.widest() + 1) / 2, half_keys = (p.tallest() + 1) / 2;
    packed_q_ = own(p.features / 2 * p.widest());
    packed_dy_ = own(p.values / 2 * p.widest());
    q_rows_ = own(half * p.features), dy_rows_ = own(half * p.values), k_rows_ = own(half_keys * p.features);
    chances_ = own(p.tallest() * half), slope_pairs_ = own(p.tallest() * half);
    slope_columns_ = own(half_keys * p.widest());
  }

  void choose_parts(int threads, int next_argument) {
    const std::int64_t tasks = std::max<std::int64_t>(1, a_.p.batch * a_.p.groups);
    if (tasks < 2 * threads && threads > 1) parts_ = std::min(units(), (2 * threads + tasks - 1) / tasks);
    if (parts_ > 1 || type_ != DType::f32) scratch_ = b().kernel().add_buffer({DType::f32, next_argument, 0});
  }

  /// Where a task sums the gradient of keys or values.
  struct Target {
    std::int32_t buffer = -1;
    ExprId start = -1;  ///< of key 0
    std::int64_t row = 0;

    Tile at(Builder& builder, ExprId key) const {
      return {buffer, builder.add(start, builder.mul(key, builder.integer(row))), row, 1};
    }
  };

  Target target(std::size_t result, std::int32_t buffer, const HeadIndex& at, ExprId task, std::int64_t columns) {
    if (buffer < 0) return {};
    const std::int64_t before = result == 2 ? part_elements() * a_.p.features : 0;
    if (scratch_ >= 0) return {scratch_, a_.add(a_.number(before), a_.times(task, a_.p.keys * columns)), columns};
    const Tile tile = a_.tile(*body_.results[result], buffer, at.batch, a_.number(0), at.group);
    return {buffer, tile.start, tile.row};
  }

  std::vector<Stmt> task(ExprId index) {
    const AttentionProblem& p = a_.p;
    const ExprId part = b().binary(Op::rem, index, a_.number(parts_)), head = b().div(index, a_.number(parts_));
    const ExprId group = b().binary(Op::rem, head, a_.number(p.groups));
    HeadIndex at{b().div(head, a_.number(p.groups)), -1, group};
    keys_ = target(1, dk_, at, index, p.features);
    values_ = target(2, dv_, at, index, p.values);
    std::vector<Stmt> body;
    if (dk_ >= 0) body.push_back(a_.fill(keys_.at(b(), a_.number(0)), a_.number(p.keys), p.features, 0));
    if (dv_ >= 0) body.push_back(a_.fill(values_.at(b(), a_.number(0)), a_.number(p.keys), p.values, 0));
    const auto bound = [&](ExprId i) { return b().div(a_.times(i, units()), a_.number(parts_)); };
    const ExprId first = bound(part), count = b().sub(bound(a_.add(part, a_.number(1))), first);
    body.push_back(a_.loop(count, [&](ExprId u) {
      const ExprId unit = a_.add(first, u), block = b().binary(Op::rem, unit, a_.number(p.blocks()));
      at.head = a_.add(a_.times(group, share()), b().div(unit, a_.number(p.blocks())));
      return blocks_of_queries(at, block);
    }));
    return body;
  }

  /// A whole block, or the smaller last one: one of two loops runs, once.
  std::vector<Stmt> blocks_of_queries(const HeadIndex& at, ExprId block) {
    const AttentionProblem& p = a_.p;
    const ExprId first = a_.times(block, p.query_block);
    if (p.rest() == 0) return block_of_queries({at, first, p.query_block});
    if (p.whole_blocks() == 0) return block_of_queries({at, first, p.rest()});
    const ExprId is_last = b().cast(b().binary(Op::equal, block, a_.number(p.whole_blocks())), DType::i64);
    return {a_.loop(b().sub(a_.number(1), is_last),
                    [&](ExprId) {
                      return block_of_queries({at, first, p.query_block});
                    }),
            a_.loop(is_last, [&](ExprId) {
              return block_of_queries({at, first, p.rest()});
            })};
  }

  std::vector<Stmt> block_of_queries(const QueryBlock& rows) {
    const AttentionProblem& p = a_.p;
    const Tile dy = query_tile(0, dy_, rows);
    std::vector<Stmt> body;
    if (p.pairs) {
      pack_pairs(rows, body);
    } else {
      body.push_back(a_.pack_transposed(query_tile(1, q_, rows), packed_q_, rows.count, p.features, p.scale));
      body.push_back(a_.pack_transposed(dy, packed_dy_, rows.count, p.values, 1));
    }
    body.push_back(deltas(dy, query_tile(4, y_, rows), rows));
    if (dq_ >= 0) body.push_back(a_.fill(a_.whole(sums_, p.features), a_.number(rows.count), p.features, 0));
    const ExprId visible = a_.visible_keys(rows);
    const ExprId blocks = b().div(a_.add(visible, a_.number(p.key_block - 1)), a_.number(p.key_block));
    body.push_back(a_.loop(blocks, [&](ExprId j) {
      const KeyBlock keys = a_.key_block(j, visible);
      return p.pairs ? block_of_pairs(rows, keys) : block_of_keys(rows, keys);
    }));
    if (dq_ >= 0) body.push_back(write_queries(rows));
    return body;
  }

  /// Rows of dy, q or y.
  Tile query_tile(std::size_t operand, std::int32_t buffer, const QueryBlock& rows) {
    return a_.tile(body_.operands[operand], buffer, rows.at.batch, rows.first, rows.at.head);
  }

  Stmt deltas(const Tile& dy, const Tile& y, const QueryBlock& rows) {
    return a_.loop(a_.number(rows.count), [&](ExprId row) {
      const int lanes = 16;
      const std::int32_t sum = b().kernel().add_local({DType::f32, true, lanes});
      const auto at = [&](const Tile& t, ExprId column) {
        return b().load(t.buffer, a_.add(a_.add(t.start, a_.times(row, t.row)), a_.times(column, t.column)));
      };
      return std::vector{
          declare(sum, b().real(0)),
          a_.vector(a_.p.values, lanes,
                    [&](ExprId e) { return std::vector{assign(sum, b().fma(at(dy, e), at(y, e), b().local(sum)))}; }),
          store(delta_, row, b().join_lanes(sum, Op::add))};
    });
  }

  std::vector<Stmt> block_of_keys(const QueryBlock& rows, const KeyBlock& keys) {
    const AttentionProblem& p = a_.p;
    const Tile k = a_.tile(*p.k, k_, rows.at.batch, keys.first, rows.at.group);
    const Tile v = a_.tile(*p.v, v_, rows.at.batch, keys.first, rows.at.group);
    const Tile scores = a_.whole(scores_, rows.count), slopes = a_.whole(slopes_, rows.count);
    std::vector<Stmt> body;
    body.push_back(a_.products(k, packed_q_, scores_, rows, keys, p.features));
    body.push_back(a_.products(v, packed_dy_, slopes_, rows, keys, p.values));
    body.push_back(a_.vector(rows.count, kAttentionLanes, [&](ExprId c) { return slopes_of(rows, keys, c); }));
    const auto add_product = [&](const Tile& c, const Tile& a, const Tile& of, ExprId height, ExprId depth,
                                 std::int64_t columns) {
      body.push_back(tile_contract({c, a, of, height, depth, columns, true}));
    };
    const ExprId count = a_.number(rows.count);
    if (dv_ >= 0)
      add_product(values_.at(b(), keys.first), scores, query_tile(0, dy_, rows), keys.count, count, p.values);
    if (dk_ >= 0)
      add_product(keys_.at(b(), keys.first), slopes, query_tile(1, q_, rows), keys.count, count, p.features);
    if (dq_ >= 0)
      add_product(a_.whole(sums_, p.features), AttentionBuilder::transposed(slopes), k, count, keys.count, p.features);
    return body;
  }

  /// Pairs of queries are half a block apart, so that both lie in one lane of two vectors.
  static std::int64_t half_of(const QueryBlock& rows) { return (rows.count + 1) / 2; }

  void pack_pairs(const QueryBlock& rows, std::vector<Stmt>& body) {
    const AttentionProblem& p = a_.p;
    const auto pack = [&](std::size_t operand, std::int32_t buffer, std::int32_t pairs, std::int32_t columns_of,
                          std::int32_t rows_of, std::int64_t columns) {
      const Tile whole = a_.pair_tile(body_.operands[operand], pairs, rows.at.batch, rows.first, rows.at.head);
      body.push_back(a_.pack_transposed(whole, columns_of, rows.count, columns / 2, 1));
      std::vector<Stmt> packing = a_.pack_rows(query_tile(operand, buffer, rows), rows_of, a_.number(rows.count / 2),
                                               a_.number(rows.count % 2), 1, half_of(rows), columns);
      std::move(packing.begin(), packing.end(), std::back_inserter(body));
    };
    pack(0, dy_, dy_pairs_, packed_dy_, dy_rows_, p.values);
    pack(1, q_, q_pairs_, packed_q_, q_rows_, p.features);
  }

  std::vector<Stmt> block_of_pairs(const QueryBlock& rows, const KeyBlock& keys) {
    const AttentionProblem& p = a_.p;
    const Tile k = a_.pair_tile(*p.k, k_pairs_, rows.at.batch, keys.first, rows.at.group);
    const Tile v = a_.pair_tile(*p.v, v_pairs_, rows.at.batch, keys.first, rows.at.group);
    const std::int64_t half = half_of(rows);
    std::vector<Stmt> body;
    body.push_back(a_.products(k, packed_q_, scores_, rows, keys, p.features / 2));
    body.push_back(a_.products(v, packed_dy_, slopes_, rows, keys, p.values / 2));
    body.push_back(
        a_.vector(rows.count / 2, kPairLanes, [&](ExprId c) { return pairs_of_slopes(rows, keys, c, true); }));
    if (rows.count % 2 != 0)
      body.push_back(a_.vector(
          1, 1, [&](ExprId c) { return pairs_of_slopes(rows, keys, a_.add(a_.number(rows.count / 2), c), false); }));
    const auto add_product = [&](const Tile& c, const Tile& a, const Tile& of, ExprId height, ExprId depth,
                                 std::int64_t columns) {
      body.push_back(tile_contract({c, a, of, height, depth, columns, true}));
    };
    if (dv_ >= 0)
      add_product(values_.at(b(), keys.first), a_.whole(chances_, half), a_.whole(dy_rows_, p.values), keys.count,
                  a_.number(half), p.values);
    if (dk_ >= 0)
      add_product(keys_.at(b(), keys.first), a_.whole(slope_pairs_, half), a_.whole(q_rows_, p.features), keys.count,
                  a_.number(half), p.features);
    if (dq_ < 0) return body;
    std::vector<Stmt> packing = a_.pack_rows(a_.tile(*p.k, k_, rows.at.batch, keys.first, rows.at.group), k_rows_,
                                             a_.pairs_in(keys), a_.lone_in(keys), 2, 1, p.features);
    std::move(packing.begin(), packing.end(), std::back_inserter(body));
    add_product(a_.whole(sums_, p.features), AttentionBuilder::transposed(a_.whole(slope_columns_, rows.count)),
                a_.whole(k_rows_, p.features), a_.number(rows.count), a_.add(a_.pairs_in(keys), a_.lone_in(keys)),
                p.features);
    return body;
  }

  /// slopes_of for query `c` and, when `paired`, the one half a block further on; two keys at a time.
  std::vector<Stmt> pairs_of_slopes(const QueryBlock& rows, const KeyBlock& keys, ExprId c, bool paired) {
    const std::int64_t half = half_of(rows);
    const int width = paired ? 2 : 1;
    std::vector<Stmt> body;
    const ExprId columns[] = {c, a_.add(c, a_.number(half))};
    QueryNumbers of_query[2];
    for (int x = 0; x < width; ++x) of_query[x] = numbers_of(rows, columns[x], body);
    const auto of_keys = [&](ExprId i, int height) {
      std::vector<Stmt> each;
      ExprId chance[2][2], slope[2][2];
      for (int r = 0; r < 2; ++r)
        for (int x = 0; x < 2; ++x) {
          chance[r][x] = slope[r][x] = b().real(0);
          if (r < height && x < width)
            slope_of(rows, keys, a_.add(a_.times(i, 2), a_.number(r)), columns[x], of_query[x], each, chance[r][x],
                     slope[r][x]);
        }
      for (int r = 0; r < height; ++r) {
        const ExprId at = a_.add(a_.times(a_.add(a_.times(i, 2), a_.number(r)), half), c);
        each.push_back(store(chances_, at, a_.pair(chance[r][0], chance[r][1])));
        each.push_back(store(slope_pairs_, at, a_.pair(slope[r][0], slope[r][1])));
      }
      for (int x = 0; x < width; ++x)
        each.push_back(
            store(slope_columns_, a_.add(a_.times(i, rows.count), columns[x]), a_.pair(slope[0][x], slope[1][x])));
      return each;
    };
    body.push_back(a_.loop(a_.pairs_in(keys), [&](ExprId i) { return of_keys(i, 2); }));
    body.push_back(a_.loop(a_.lone_in(keys), [&](ExprId i) { return of_keys(a_.add(a_.pairs_in(keys), i), 1); }));
    return body;
  }

  /// What scores and slopes of one query have in common.
  struct QueryNumbers {
    ExprId most = -1, share = -1, delta = -1;
  };

  ExprId declared(ExprId value, std::vector<Stmt>& body) {
    const std::int32_t slot = b().kernel().add_local({DType::f32, false, 0});
    body.push_back(declare(slot, value));
    return b().local(slot);
  }

  QueryNumbers numbers_of(const QueryBlock& rows, ExprId c, std::vector<Stmt>& body) {
    const auto number = [&](std::int32_t buffer, std::size_t operand) {
      return declared(b().load(buffer, a_.row_element(body_.operands[operand], rows, c)), body);
    };
    return {number(most_, 5), number(shares_, 6), declared(b().load(delta_, c), body)};
  }

  /// Declares the probability of key `r` and query `c`, and the gradient of their score.
  void slope_of(const QueryBlock& rows, const KeyBlock& keys, ExprId r, ExprId c, const QueryNumbers& query,
                std::vector<Stmt>& body, ExprId& chance, ExprId& slope) {
    const ExprId at = a_.add(a_.times(r, rows.count), c);
    const ExprId s = a_.masks() ? a_.score(scores_, mask_, rows, keys, r, c) : b().load(scores_, at);
    chance = declared(b().mul(a_.exponential(s, query.most), query.share), body);
    const ExprId x = b().sub(b().load(slopes_, at), query.delta);
    slope = declared(b().mul(b().mul(chance, x), b().real(a_.p.scale)), body);
  }

  /// Scores become probabilities, and gradients of probabilities those of scores.
  std::vector<Stmt> slopes_of(const QueryBlock& rows, const KeyBlock& keys, ExprId c) {
    std::vector<Stmt> body;
    const QueryNumbers query = numbers_of(rows, c, body);
    body.push_back(a_.loop(keys.count, [&](ExprId r) {
      const ExprId at = a_.add(a_.times(r, rows.count), c);
      std::vector<Stmt> each;
      ExprId chance = -1, slope = -1;
      slope_of(rows, keys, r, c, query, each, chance, slope);
      each.push_back(store(scores_, at, chance));
      each.push_back(store(slopes_, at, slope));
      return each;
    }));
    return body;
  }

  Stmt write_queries(const QueryBlock& rows) {
    return a_.loop(a_.number(rows.count), [&](ExprId row) {
      return std::vector{a_.vector(a_.p.features, kAttentionLanes, [&](ExprId d) {
        const ExprId to = a_.element(*body_.results[0], rows.at.batch, a_.add(rows.first, row), rows.at.head, d);
        return std::vector{store(dq_, to, b().load(sums_, a_.add(a_.times(row, a_.p.features), d)))};
      })};
    });
  }

  /// A phase that adds up the parts of each key's gradient, in order.
  void join(const StridedView& view, std::int32_t to, std::int64_t before, std::int64_t columns) {
    const AttentionProblem& p = a_.p;
    Phase phase;
    phase.index = a_.new_index();
    phase.extent = p.batch * p.groups * p.keys;
    phase.work = part_elements() * columns;
    const ExprId row = b().index(phase.index), key = b().binary(Op::rem, row, a_.number(p.keys));
    const ExprId head = b().div(row, a_.number(p.keys)), group = b().binary(Op::rem, head, a_.number(p.groups));
    phase.body.push_back(a_.vector(columns, kAttentionLanes, [&](ExprId d) {
      const ExprId first = a_.add(a_.number(before),
                                  a_.add(a_.times(head, parts_ * p.keys * columns), a_.add(a_.times(key, columns), d)));
      ExprId sum = b().load(scratch_, first);
      for (std::int64_t part = 1; part < parts_; ++part)
        sum = b().add(sum, b().load(scratch_, a_.add(first, a_.number(part * p.keys * columns))));
      return std::vector{store(to, a_.element(view, b().div(head, a_.number(p.groups)), key, group, d), sum)};
    }));
    b().kernel().phases.push_back(std::move(phase));
  }

  AttentionBuilder a_;
  const StridedBody& body_;
  DType type_ = DType::f32;
  std::int64_t parts_ = 1;
  std::int32_t dy_ = -1, q_ = -1, k_ = -1, v_ = -1, y_ = -1, most_ = -1, shares_ = -1, mask_ = -1, dq_ = -1, dk_ = -1,
               dv_ = -1;
  std::int32_t scratch_ = -1;
  std::int32_t dy_pairs_ = -1, q_pairs_ = -1, k_pairs_ = -1, v_pairs_ = -1;  ///< operands, and what is made of them
  std::int32_t q_rows_ = -1, dy_rows_ = -1, k_rows_ = -1, chances_ = -1, slope_pairs_ = -1, slope_columns_ = -1;
  std::int32_t packed_q_, packed_dy_, scores_, slopes_, delta_, sums_;  ///< the thread's own
  Target keys_, values_;
};

}  // namespace

std::int64_t build_attention_grad(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body,
                                  int threads) {
  return Gradient(kernel, problem, body, threads).run();
}

}  // namespace weft::loops
