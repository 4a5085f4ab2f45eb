// Emission of rows kernels.
#include "kernels/loops/rows.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/loops/body.hpp"
#include "kernels/loops/build.hpp"
#include "kernels/loops/layouts.hpp"
#include "kernels/loops/rows_cuts.hpp"
#include "kernels/loops/rows_nest.hpp"
#include "kernels/loops/rows_values.hpp"

namespace weft::loops {
namespace {

using Statements = std::vector<Stmt>;

/// One running value of a reduction; moments have two.
struct Accumulator {
  std::size_t reduction = 0;
  bool squares = false;  ///< of moments: the sum of squares
  Op op = Op::add;
  DType dtype = DType::f64;
  std::int64_t first = 0;  ///< of its partial results in scratch, in 8-byte elements
};

Op joining(Op reduction) {
  switch (reduction) {
    case Op::reduce_max: return Op::maximum;
    case Op::reduce_min: return Op::minimum;
    case Op::reduce_prod: return Op::mul;
    default: return Op::add;
  }
}

class RowsEmitter {
 public:
  RowsEmitter(const Graph& body, const Space& space, const RowsNest& nest, const RowsCuts& cuts, bool streaming)
      : space_(space),
        nest_(nest),
        cuts_(cuts),
        b_(kernel_),
        values_(b_, space, nest, add_operands(body)),
        streaming_(streaming) {
    for (std::size_t o = 0; o < space.outputs().size(); ++o)
      output_buffers_.push_back(kernel_.add_buffer(
          {body.type(space.outputs()[o].value).dtype, static_cast<int>(body.inputs().size() + o), 0}));
    scratch_argument_ = static_cast<int>(body.inputs().size() + body.outputs().size());
    for (std::size_t l = 0; l < nest.outer.size(); ++l) outer_.push_back(kernel_.add_index());
    for (std::size_t l = 0; l < nest.reduced.size(); ++l) reduced_.push_back(kernel_.add_index());
    column_ = kernel_.add_index();
    parallel_ = kernel_.add_index();
    list_accumulators();
  }

  RowsKernel run() {
    const bool chunked = cuts_.chunks.total > 1;
    for (const ColumnPiece& piece : cuts_.pieces)
      add_phase(piece, chunked ? cuts_.chunks.total : 1, [&](ExprId chunk) {
        if (cuts_.tile > 0) return tiled_stage(chunk);
        return chunked ? partial_stage(chunk) : whole_rows();
      });
    if (chunked)
      for (const ColumnPiece& piece : cuts_.pieces) add_phase(piece, 1, [&](ExprId) { return join_chunks(); });
    RowsKernel result;
    result.refusal = values_.refusal();
    result.kernel = std::move(kernel_);
    result.scratch_bytes = scratch_elements_ * 8;
    return result;
  }

 private:
  std::vector<std::int32_t> add_operands(const Graph& body) {
    std::vector<std::int32_t> result;
    for (const SpaceOperand& o : space_.operands())
      result.push_back(kernel_.add_buffer({body.type(o.value).dtype, static_cast<int>(o.argument), 0}));
    return result;
  }

  void list_accumulators() {
    for (std::size_t r = 0; r < space_.reductions().size(); ++r) {
      const SpaceReduction& reduction = space_.reductions()[r];
      const Op op = joining(reduction.op);
      DType type = reduction.dtype == DType::f16 || reduction.dtype == DType::bf16 ? DType::f32 : reduction.dtype;
      if (is_float(type) && (op == Op::add || op == Op::mul)) type = DType::f64;
      accumulators_.push_back({r, false, op, type, 0});
      if (reduction.op == Op::moments) accumulators_.push_back({r, true, op, type, 0});
    }
    if (cuts_.chunks.total <= 1) return;
    for (Accumulator& a : accumulators_) {
      a.first = scratch_elements_;
      scratch_elements_ += cuts_.chunks.total * nest_.outer_elements() * nest_.columns;
    }
    scratch_floats_ = kernel_.add_buffer({DType::f64, scratch_argument_, 0});
    scratch_integers_ = kernel_.add_buffer({DType::i64, scratch_argument_, 0});
  }

  // --- the frame of a phase: shared loops, serial kept loops, the vector loop over columns
  // ----------------------------

  template <class Inside>
  void add_phase(const ColumnPiece& piece, std::int64_t chunks, const Inside& inside) {
    Phase phase;
    phase.index = parallel_;
    phase.extent = piece.blocks * chunks;
    for (std::size_t l = 0; l < cuts_.shared; ++l) phase.extent *= nest_.outer[l];
    phase.work = nest_.outer_elements() * nest_.reduced_elements() * piece.width * piece.blocks;

    // The parallel index counts shared loops, chunks and blocks, blocks fastest.
    ExprId rest = b_.index(parallel_);
    const auto digit = [&](std::int64_t extent, bool last) {
      const ExprId d = last ? rest : b_.binary(Op::rem, rest, b_.integer(extent));
      if (!last) rest = b_.div(rest, b_.integer(extent));
      return extent == 1 ? b_.integer(0) : d;
    };
    const bool shares = cuts_.shared > 0;
    const ExprId block = digit(piece.blocks, chunks == 1 && !shares);
    const ExprId chunk = digit(chunks, !shares);
    Position at;
    at.outer.assign(nest_.outer.size(), -1);
    for (std::size_t l = cuts_.shared; l-- > 0;) at.outer[l] = digit(nest_.outer[l], l == 0);
    for (std::size_t l = cuts_.shared; l < nest_.outer.size(); ++l) at.outer[l] = b_.index(outer_[l]);
    for (const std::int32_t i : reduced_) at.reduced.push_back(b_.index(i));
    at.column = b_.integer(0);
    if (nest_.column_mode)
      at.column = b_.add(b_.integer(piece.first), b_.add(b_.mul(block, b_.integer(piece.width)), b_.index(column_)));
    values_.move_to(std::move(at));

    Statements body = inside(chunk);
    if (nest_.column_mode && (cuts_.tile == 0 || chunks == 1)) body = over_columns(std::move(body), piece.width);
    for (std::size_t l = nest_.outer.size(); l-- > cuts_.shared;)
      body = {loop_of(LoopKind::serial, outer_[l], b_.integer(nest_.outer[l]), std::move(body))};
    phase.body = std::move(body);
    kernel_.phases.push_back(std::move(phase));
  }

  Statements over_columns(Statements body, std::int64_t width) {
    return {loop_of(LoopKind::vector, column_, b_.integer(width), std::move(body), cuts_.lanes)};
  }

  /// `body` inside the reduced loops; with a chunk, inside its part of them.
  Statements along_the_row(Statements body, ExprId chunk = -1) {
    Position at = values_.position();
    for (std::size_t l = nest_.reduced.size(); l-- > 0;) {
      ExprId extent = b_.integer(nest_.reduced[l]);
      if (chunk >= 0 && l < cuts_.chunks.loop) continue;  // fixed by the chunk
      if (chunk >= 0 && l == cuts_.chunks.loop) extent = chunk_extent(chunk);
      const bool vector = !nest_.column_mode && l + 1 == nest_.reduced.size();
      body = {loop_of(vector ? LoopKind::vector : LoopKind::serial, reduced_[l], extent, std::move(body),
                      vector ? cuts_.lanes : 1)};
    }
    return body;
  }

  ExprId chunk_of_loop(ExprId chunk) { return b_.binary(Op::rem, chunk, b_.integer(cuts_.chunks.count)); }

  ExprId chunk_extent(ExprId chunk) {
    const Chunks& c = cuts_.chunks;
    const std::int64_t extent = nest_.reduced[c.loop];
    if (extent % c.length == 0) return b_.integer(c.length);
    const ExprId left = b_.sub(b_.integer(extent), b_.mul(chunk_of_loop(chunk), b_.integer(c.length)));
    return b_.binary(Op::minimum, left, b_.integer(c.length));
  }

  /// The reduced loops stand in `chunk`, `first` positions on.
  void move_to_chunk(ExprId chunk, ExprId first) {
    const Chunks& c = cuts_.chunks;
    Position at = values_.position();
    ExprId before = b_.div(chunk, b_.integer(c.count));
    for (std::size_t l = c.loop; l-- > 0;) {
      at.reduced[l] = l == 0 ? before : b_.binary(Op::rem, before, b_.integer(nest_.reduced[l]));
      before = b_.div(before, b_.integer(nest_.reduced[l]));
    }
    at.reduced[c.loop] =
        b_.add(b_.mul(chunk_of_loop(chunk), b_.integer(c.length)), b_.add(first, b_.index(reduced_[c.loop])));
    values_.move_to(std::move(at));
  }

  // --- reductions
  // -----------------------------------------------------------------------------------------------------

  ExprId identity(const Accumulator& a) {
    const double infinity = std::numeric_limits<double>::infinity();
    switch (a.op) {
      case Op::mul: return b_.integer(1, a.dtype);
      case Op::maximum: return is_float(a.dtype) ? b_.real(-infinity, a.dtype) : b_.integer(lowest(a.dtype), a.dtype);
      case Op::minimum: return is_float(a.dtype) ? b_.real(infinity, a.dtype) : b_.integer(highest(a.dtype), a.dtype);
      default: return b_.integer(0, a.dtype);
    }
  }

  static bool is_unsigned(DType t) { return t == DType::u8 || t == DType::u16 || t == DType::u32 || t == DType::u64; }
  static int bits_of(DType t) { return static_cast<int>(size_of(t)) * 8; }
  static std::int64_t lowest(DType t) {
    return is_unsigned(t) ? 0 : std::numeric_limits<std::int64_t>::min() >> (64 - bits_of(t));
  }
  static std::int64_t highest(DType t) {
    if (t == DType::u64) return -1;  // its bits
    return is_unsigned(t) ? (std::int64_t{1} << bits_of(t)) - 1
                          : std::numeric_limits<std::int64_t>::max() >> (64 - bits_of(t));
  }

  std::int32_t add_variable(const Accumulator& a, bool lanes) {
    return kernel_.add_local({a.dtype, true, lanes && !nest_.column_mode ? cuts_.lanes : 0});
  }

  /// What moments are taken about: the first element of the row, so that a mean that dwarfs the spread costs no digits.
  ExprId shift_of(const SpaceReduction& r) {
    const Position here = values_.position();
    Position first = here;
    for (ExprId& index : first.reduced) index = b_.integer(0);
    values_.move_to(std::move(first));
    const ExprId shift = b_.cast(values_.value(r.operand), DType::f64);
    values_.move_to(here);
    return shift;
  }

  /// The value at hand joined to what `local` holds.
  Stmt accumulated(const Accumulator& a, std::int32_t local) {
    const SpaceReduction& r = space_.reductions()[a.reduction];
    ExprId v = b_.cast(values_.value(r.operand), a.dtype);
    if (r.op == Op::moments) v = b_.sub(v, shift_of(r));
    if (a.squares) v = b_.mul(v, v);
    return assign(local, b_.binary(a.op, b_.local(local), v));
  }

  /// Declares and runs the accumulators of `stage`, and with them the stores of results that need no other walk; gives
  /// their locals, by accumulator (-1: of another stage).
  std::vector<std::int32_t> accumulate(int stage, Statements& to, ExprId chunk) {
    std::vector<std::int32_t> locals(accumulators_.size(), -1);
    Statements body;
    for (std::size_t i = 0; i < accumulators_.size(); ++i) {
      const Accumulator& a = accumulators_[i];
      const SpaceReduction& r = space_.reductions()[a.reduction];
      if (r.stage != stage) continue;
      locals[i] = add_variable(a, true);
      to.push_back(declare(locals[i], identity(a)));
      body.push_back(accumulated(a, locals[i]));
    }
    if (cuts_.one_walk)
      for (Stmt& s : stores(true)) body.push_back(std::move(s));
    for (Stmt& s : along_the_row(std::move(body), chunk)) to.push_back(std::move(s));
    return locals;
  }

  /// An accumulator's total: one value a row.
  ExprId joined(std::size_t a, std::int32_t local) {
    return nest_.column_mode || nest_.reduced.empty() ? b_.local(local) : b_.join_lanes(local, accumulators_[a].op);
  }

  /// Declares the results of reductions from their accumulators' totals.
  void finish(const std::vector<ExprId>& totals, Statements& to) {
    for (std::size_t i = 0; i < accumulators_.size(); ++i) {
      if (totals[i] < 0) continue;
      const Accumulator& a = accumulators_[i];
      const SpaceReduction& r = space_.reductions()[a.reduction];
      const auto result = [&](int which, ExprId value) {
        ExprId e = b_.cast(value, r.dtype);
        const std::int32_t local = kernel_.add_local({b_.type(e), false, 0});
        to.push_back(declare(local, e));
        values_.set_result(a.reduction, which, local);
      };
      if (r.op != Op::moments) {
        result(0, totals[i]);
      } else if (a.squares) {
        const ExprId n = b_.real(static_cast<double>(nest_.reduced_elements()), DType::f64);
        const ExprId mean = b_.div(totals[i - 1], n), square = b_.div(totals[i], n);
        result(0, b_.add(shift_of(r), mean));
        result(1, b_.binary(Op::maximum, b_.sub(square, b_.mul(mean, mean)), b_.real(0, DType::f64)));
      }
    }
  }

  // --- what phases do
  // -------------------------------------------------------------------------------------------------

  Statements whole_rows() {
    Statements body;
    for (int stage = 0; stage < space_.stages(); ++stage) {
      const std::vector<std::int32_t> locals = accumulate(stage, body, -1);
      std::vector<ExprId> totals(locals.size(), -1);
      for (std::size_t i = 0; i < locals.size(); ++i)
        if (locals[i] >= 0) totals[i] = joined(i, locals[i]);
      finish(totals, body);
    }
    if (!cuts_.one_walk)
      for (Stmt& s : along_the_row(stores(true))) body.push_back(std::move(s));
    for (Stmt& s : stores(false)) body.push_back(std::move(s));
    std::erase_if(body, [](const Stmt& s) { return s.kind == StmtKind::loop && is_empty(s); });
    return body;
  }

  static bool is_empty(const Stmt& loop) {
    return std::all_of(loop.body.begin(), loop.body.end(),
                       [](const Stmt& s) { return s.kind == StmtKind::loop && is_empty(s); });
  }

  /// Everything is read before anything is written: a result may lie over an operand.
  Statements stores(bool full) {
    Statements lets, result;
    for (std::size_t o = 0; o < space_.outputs().size(); ++o) {
      const SpaceOutput& output = space_.outputs()[o];
      if (output.full != full) continue;
      ExprId value = values_.value(output.of);
      for (const RowsNest::Padded& p : nest_.padded) {
        const ExprId inside = b_.binary(Op::less, values_.address(p.index), b_.integer(p.extent));
        value = b_.select(inside, value, b_.integer(0, b_.type(value)));
      }
      const std::int32_t local = kernel_.add_local({b_.type(value), false, 0});
      lets.push_back(declare(local, value));
      result.push_back(store(output_buffers_[o], values_.address(nest_.outputs[o]), b_.local(local)));
      result.back().streaming = streaming_ && full;
    }
    lets.insert(lets.end(), result.begin(), result.end());
    return lets;
  }

  // Partial results lie in scratch by accumulator, chunk and row.
  ExprId partial_address(const Accumulator& a, ExprId chunk) {
    const Position& at = values_.position();
    ExprId row = b_.integer(0);
    for (std::size_t l = 0; l < nest_.outer.size(); ++l)
      row = b_.add(b_.mul(row, b_.integer(nest_.outer[l])), at.outer[l]);
    row = b_.add(b_.mul(row, b_.integer(nest_.columns)), at.column);
    const ExprId before = b_.mul(chunk, b_.integer(nest_.outer_elements() * nest_.columns));
    return b_.add(b_.add(b_.integer(a.first), before), row);
  }

  std::int32_t scratch_of(const Accumulator& a) { return is_float(a.dtype) ? scratch_floats_ : scratch_integers_; }

  Statements partial_stage(ExprId chunk) {
    move_to_chunk(chunk, b_.integer(0));
    Statements body;
    const std::vector<std::int32_t> locals = accumulate(0, body, chunk);
    for (std::size_t i = 0; i < locals.size(); ++i) {
      const Accumulator& a = accumulators_[i];
      const ExprId total = b_.cast(joined(i, locals[i]), is_float(a.dtype) ? DType::f64 : DType::i64);
      body.push_back(store(scratch_of(a), partial_address(a, chunk), total));
    }
    return body;
  }

  /// Tile by tile of a chunk; between tiles, partial results wait in scratch.
  Statements tiled_stage(ExprId chunk) {
    const std::int32_t tile = kernel_.add_index();
    const ExprId first = b_.mul(b_.index(tile), b_.integer(cuts_.tile)), length = chunk_extent(chunk);
    move_to_chunk(chunk, first);
    Statements begin, columns, walk, end;
    for (const Accumulator& a : accumulators_) {
      const ExprId place = partial_address(a, chunk);
      const auto keep = [&](ExprId total) {
        return store(scratch_of(a), place, b_.cast(total, is_float(a.dtype) ? DType::f64 : DType::i64));
      };
      begin.push_back(keep(identity(a)));
      const std::int32_t local = add_variable(a, false);
      columns.push_back(declare(local, b_.cast(b_.load(scratch_of(a), place), a.dtype)));
      walk.push_back(accumulated(a, local));
      end.push_back(keep(b_.local(local)));
    }
    for (Stmt& s : stores(true)) walk.push_back(std::move(s));
    const ExprId rows = b_.binary(Op::minimum, b_.sub(length, first), b_.integer(cuts_.tile));
    columns.push_back(loop_of(LoopKind::serial, reduced_.back(), rows, std::move(walk)));
    columns.insert(columns.end(), end.begin(), end.end());
    Statements body = over_columns(std::move(begin), nest_.columns);
    const ExprId tiles = b_.div(b_.add(length, b_.integer(cuts_.tile - 1)), b_.integer(cuts_.tile));
    body.push_back(loop_of(LoopKind::serial, tile, tiles, over_columns(std::move(columns), nest_.columns)));
    return body;
  }

  Statements join_chunks() {
    Statements body, inside;
    const std::int32_t chunk = kernel_.add_index();
    std::vector<ExprId> totals;
    for (const Accumulator& a : accumulators_) {
      const std::int32_t local = add_variable(a, false);
      body.push_back(declare(local, identity(a)));
      const ExprId partial = b_.cast(b_.load(scratch_of(a), partial_address(a, b_.index(chunk))), a.dtype);
      inside.push_back(assign(local, b_.binary(a.op, b_.local(local), partial)));
      totals.push_back(b_.local(local));
    }
    body.push_back(loop_of(LoopKind::serial, chunk, b_.integer(cuts_.chunks.total), std::move(inside)));
    finish(totals, body);
    for (Stmt& s : stores(false)) body.push_back(std::move(s));
    return body;
  }

  const Space& space_;
  const RowsNest& nest_;
  const RowsCuts& cuts_;
  Kernel kernel_;
  Builder b_;
  RowsValues values_;
  std::vector<std::int32_t> output_buffers_;
  std::vector<std::int32_t> outer_, reduced_;  ///< loop variables
  std::int32_t column_ = -1, parallel_ = -1;
  std::vector<Accumulator> accumulators_;
  int scratch_argument_ = 0;
  std::int32_t scratch_floats_ = -1, scratch_integers_ = -1;
  std::int64_t scratch_elements_ = 0;
  bool streaming_ = false;
};

Dims dimensions(const DimMap& map) {
  Dims result;
  for (const int d : map)
    if (d >= 0) result.push_back(d);
  return result;
}

/// Whether every result is walked as each operand of its size is: an element is then written by the one iteration that
/// reads it. A value of each row over an operand that runs along the rows, both as long, would not be.
bool may_overwrite(const Space& space, const Graph& body) {
  const auto bytes = [&](ValueId v) { return body.layout(v).bytes(body.type(v).dtype); };
  for (const SpaceOutput& o : space.outputs())
    for (const SpaceOperand& p : space.operands())
      if (bytes(o.value) == bytes(p.value) && dimensions(o.map) != dimensions(p.map)) return false;
  return true;
}

}  // namespace

RowsKernel make_rows(const Graph& body, const RowsSchedule& schedule) {
  const auto refuse = [](std::string why) {
    RowsKernel none;
    none.refusal = std::move(why);
    return none;
  };
  const Space space(body);
  if (!space.refusal().empty()) return refuse(space.refusal());
  SpaceLayouts layouts = choose_layouts(body, space);
  if (!layouts.refusal.empty()) return refuse(std::move(layouts.refusal));
  const RowsNest nest = rows_nest(space, layouts);
  const RowsCuts cuts = cut_rows(space, nest, schedule);
  if (!cuts.refusal.empty()) return refuse(cuts.refusal);
  RowsKernel result = RowsEmitter(body, space, nest, cuts, schedule.streaming).run();
  if (nest.elements() == 0) result.kernel.phases.clear();
  result.overwrites_operands = may_overwrite(space, layouts.body);
  result.body = std::move(layouts.body);
  return result;
}

}  // namespace weft::loops
