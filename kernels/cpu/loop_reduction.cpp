// The nest is ordered: kept loops, reduced loops, and innermost the kept loops that are innermost in memory
// ("columns"). Work is cut into blocks of columns, kept elements and chunks of the reduced extent. Cuts depend on
// extents only, and chunks are joined in order: results repeat bit for bit, at any thread count.
#include "kernels/cpu/loop_reduction.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cpu/accumulate.hpp"
#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/tile_layouts.hpp"
#include "kernels/cpu/tile_program.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kChunkElements = 16384;  ///< reduced elements (with columns) worth a chunk of their own
constexpr std::int64_t kEnoughItems = 32;       ///< independent pieces of work that keep any team busy

/// One reduction of the body: which root feeds it, and the arguments that it writes.
struct Result {
  ReductionKind kind = ReductionKind::sum;
  std::size_t root = 0;
  int argument = -1;  ///< among the outputs; -1: not asked for
  int variance = -1;  ///< moments only
  DType type = DType::f32;
};

struct Problem {
  std::string refusal;
  Shape space;
  std::vector<bool> reduced;      ///< by dimension of the space
  std::vector<ValueId> operands;  ///< what is reduced, one a result
  std::vector<Result> results;
};

std::optional<ReductionKind> kind_of(Op op) {
  switch (op) {
    case Op::reduce_sum: return ReductionKind::sum;
    case Op::reduce_max: return ReductionKind::max;
    case Op::reduce_min: return ReductionKind::min;
    case Op::reduce_prod: return ReductionKind::prod;
    case Op::moments: return ReductionKind::moments;
    default: return std::nullopt;
  }
}

/// Adds the reduction `node` (once) with output `output` coming from its result `result`.
void add_result(const Graph& body, const Node& node, int output, int result, std::vector<const Node*>& seen,
                Problem& p) {
  const Shape& space = body.type(node.inputs[0]).shape;
  std::vector<bool> reduced(space.extents().size(), false);
  for (const std::int64_t d : node.attributes.integers("dims")) reduced[static_cast<std::size_t>(d)] = true;
  if (p.results.empty())
    p.space = space, p.reduced = reduced;
  else if (p.space != space || p.reduced != reduced)
    p.refusal = "reductions over different dimensions";
  auto at = std::find(seen.begin(), seen.end(), &node);
  if (at == seen.end()) {
    Result r;
    r.kind = *kind_of(node.op);
    r.root = p.operands.size();
    r.type = body.type(node.outputs[0]).dtype;
    p.operands.push_back(node.inputs[0]);
    p.results.push_back(r);
    seen.push_back(&node);
    at = seen.end() - 1;
  }
  Result& r = p.results[static_cast<std::size_t>(at - seen.begin())];
  int& slot = result == 0 ? r.argument : r.variance;
  if (slot >= 0) p.refusal = "one result is asked for twice";
  slot = output;
}

Problem read_problem(const Graph& body) {
  Problem p;
  std::vector<const Node*> seen;
  for (std::size_t o = 0; o < body.outputs().size() && p.refusal.empty(); ++o) {
    const ValueId v = body.outputs()[o].value;
    const Node* node = body.producer(v);
    if (node == nullptr || !kind_of(node->op)) {
      p.refusal = "a result that is not a reduction";
      return p;
    }
    const auto& layout = body.value(v).layout;
    if (layout && !layout->is_row_major()) p.refusal = "the result must be row-major, asked for " + layout->str();
    add_result(body, *node, static_cast<int>(o), body.value(v).result, seen, p);
  }
  if (p.results.empty() && p.refusal.empty()) p.refusal = "no result";
  if (p.refusal.empty() && p.space.elements() == 0) p.refusal = "an operand without elements";
  for (const Result& r : p.results)
    if (r.kind == ReductionKind::moments && !is_float(r.type)) p.refusal = "moments of integers";
  return p;
}

/// How the work is cut. Positions are in the ordered nest: (kept, reduced, columns), columns fastest.
struct Cuts {
  std::int64_t kept = 1, reduced = 1, columns = 1;
  std::int64_t block = 1, blocks = 1;  ///< columns handled together, and their number
  std::int64_t group = 1, groups = 1;  ///< kept elements of one piece of work, and their number
  std::int64_t chunk = 1, chunks = 1;  ///< reduced elements of one piece, and their number
  std::int64_t items() const { return groups * blocks * chunks; }
};

Cuts cut(std::int64_t kept, std::int64_t reduced, std::int64_t columns) {
  Cuts c;
  c.kept = kept, c.reduced = reduced, c.columns = columns;
  c.block = std::min(columns, kTile);
  c.blocks = (columns + c.block - 1) / c.block;
  if (columns == 1 && reduced <= kTile / 2) c.group = std::max<std::int64_t>(1, kTile / reduced);
  c.groups = (kept + c.group - 1) / c.group;
  c.chunk = reduced;
  const std::int64_t pieces = c.groups * c.blocks;
  if (pieces < kEnoughItems) {
    c.chunks = std::clamp<std::int64_t>((reduced * c.block + kChunkElements - 1) / kChunkElements, 1,
                                        (2 * kEnoughItems + pieces - 1) / pieces);
    c.chunks = std::min(c.chunks, reduced);
    c.chunk = (reduced + c.chunks - 1) / c.chunks;
    c.chunks = (reduced + c.chunk - 1) / c.chunk;
  }
  return c;
}

class ReductionKernel final : public CpuKernel {
 public:
  ReductionKernel(const Problem& problem, TileProgram program, Cuts cuts, Walk result_walk, std::size_t inputs,
                  std::size_t outputs, const Context& context)
      : results_(problem.results),
        program_(std::move(program)),
        cuts_(cuts),
        result_walk_(std::move(result_walk)),
        inputs_(inputs),
        outputs_(outputs),
        context_(context) {
    for (const Result& r : results_) {
      moments_ = moments_ || r.kind == ReductionKind::moments;
      accumulators_.emplace_back(r.kind, r.type, *context.tiles);
      starts_.push_back(words_);
      words_ += accumulators_.back().words(cuts_.columns == 1 ? cuts_.group : cuts_.block);
    }
    words_ = (words_ + 7) / 8 * 8;  // whole cache lines: threads write neighbours
    for (int t = 0; t < context.threads; ++t) scratch_.emplace_back(program_);
    if (cuts_.chunks == 1) local_.resize(static_cast<std::size_t>(words_ * context.threads));
  }

  std::int64_t scratch_bytes() const { return cuts_.chunks == 1 ? 0 : cuts_.items() * words_ * 8; }

  void run(std::span<std::byte* const> arguments) const override {
    std::uint64_t* partial =
        cuts_.chunks == 1 ? nullptr : reinterpret_cast<std::uint64_t*>(arguments[inputs_ + outputs_]);
    const std::int64_t work = cuts_.kept * cuts_.reduced * cuts_.columns;
    parallel_ranges(context_.threads, cuts_.items(), 1, work, [&](int thread, std::int64_t begin, std::int64_t end) {
      TileProgram::Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
      scratch.begin();
      for (std::int64_t item = begin; item < end; ++item) {
        std::uint64_t* state =
            partial != nullptr ? partial + item * words_ : local_.data() + static_cast<std::int64_t>(thread) * words_;
        reduce(scratch, arguments, item, state);
        if (partial == nullptr) finish(arguments, item, state);
      }
    });
    if (partial == nullptr) return;
    const std::int64_t pieces = cuts_.groups * cuts_.blocks;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      std::uint64_t* state = partial + piece * cuts_.chunks * words_;
      for (std::int64_t c = 1; c < cuts_.chunks; ++c)
        for (std::size_t r = 0; r < results_.size(); ++r)
          accumulators_[r].join(state + starts_[r], state + c * words_ + starts_[r], lanes(piece));
      finish(arguments, piece * cuts_.chunks, state);
    }
  }

 private:
  /// Kept elements that a piece accumulates side by side.
  std::int64_t lanes(std::int64_t piece) const {
    if (cuts_.columns > 1) return std::min(cuts_.block, cuts_.columns - piece % cuts_.blocks * cuts_.block);
    return std::min(cuts_.group, cuts_.kept - piece * cuts_.group);
  }

  void reduce(TileProgram::Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t item,
              std::uint64_t* state) const {
    const std::int64_t piece = item / cuts_.chunks, chunk = item % cuts_.chunks;
    const std::int64_t from = chunk * cuts_.chunk, to = std::min(cuts_.reduced, from + cuts_.chunk);
    if (cuts_.columns == 1)
      reduce_runs(scratch, arguments, piece * cuts_.group, lanes(piece), from, to, state);
    else
      reduce_columns(scratch, arguments, piece / cuts_.blocks, piece % cuts_.blocks * cuts_.block, lanes(piece), from,
                     to, state);
  }

  void reduce_runs(TileProgram::Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t kept,
                   std::int64_t rows, std::int64_t from, std::int64_t to, std::uint64_t* state) const {
    if (rows > 1 || cuts_.group > 1) {  // short runs: several in one tile, each whole
      program_.evaluate(scratch, arguments, kept * cuts_.reduced, rows * cuts_.reduced);
      for (std::size_t r = 0; r < results_.size(); ++r) {
        const auto* tile = static_cast<const std::byte*>(program_.root(scratch, results_[r].root));
        const std::size_t run = static_cast<std::size_t>(cuts_.reduced) * size_of_root(r);
        const std::int64_t words = accumulators_[r].words(1);
        for (std::int64_t row = 0; row < rows; ++row) {
          const std::byte* x = tile + static_cast<std::size_t>(row) * run;
          accumulators_[r].clear(state + starts_[r] + row * words, 1, x);
          accumulators_[r].add(state + starts_[r] + row * words, x, cuts_.reduced, 1);
        }
      }
      return;
    }
    clear(scratch, arguments, kept * cuts_.reduced, 1, state);
    for (std::int64_t at = from; at < to; at += kTile) {
      const std::int64_t count = std::min(kTile, to - at);
      program_.evaluate(scratch, arguments, kept * cuts_.reduced + at, count);
      for (std::size_t r = 0; r < results_.size(); ++r)
        accumulators_[r].add(state + starts_[r], program_.root(scratch, results_[r].root), count, 1);
    }
  }

  void reduce_columns(TileProgram::Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t kept,
                      std::int64_t column, std::int64_t columns, std::int64_t from, std::int64_t to,
                      std::uint64_t* state) const {
    const std::int64_t base = kept * cuts_.reduced * cuts_.columns + column;
    clear(scratch, arguments, base, columns, state);
    const std::int64_t rows = cuts_.blocks == 1 ? std::max<std::int64_t>(1, kTile / columns) : 1;
    for (std::int64_t at = from; at < to; at += rows) {
      const std::int64_t count = std::min(rows, to - at);
      program_.evaluate(scratch, arguments, base + at * cuts_.columns, count * columns);
      for (std::size_t r = 0; r < results_.size(); ++r)
        accumulators_[r].add(state + starts_[r], program_.root(scratch, results_[r].root), count, columns);
    }
  }

  /// All chunks of a piece shift by its very first elements, whichever chunk they are.
  void clear(TileProgram::Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t first,
             std::int64_t columns, std::uint64_t* state) const {
    if (moments_) program_.evaluate(scratch, arguments, first, columns);
    for (std::size_t r = 0; r < results_.size(); ++r)
      accumulators_[r].clear(state + starts_[r], columns,
                             moments_ ? program_.root(scratch, results_[r].root) : nullptr);
  }

  void finish(std::span<std::byte* const> arguments, std::int64_t item, const std::uint64_t* state) const {
    const std::int64_t piece = item / cuts_.chunks, count = lanes(piece);
    const std::int64_t first = cuts_.columns > 1
                                   ? piece / cuts_.blocks * cuts_.columns + piece % cuts_.blocks * cuts_.block
                                   : piece * cuts_.group;
    for (std::size_t r = 0; r < results_.size(); ++r) {
      const Result& result = results_[r];
      const auto at = [&](int output) {
        return output < 0 ? nullptr : arguments[inputs_ + static_cast<std::size_t>(output)];
      };
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t index = result_walk_.offset(first + i);
        // Rows grouped in one tile keep whole states one after the other; columns keep theirs side by side.
        const bool own = cuts_.columns == 1;
        const std::uint64_t* s = state + starts_[r] + (own ? i * accumulators_[r].words(1) : 0);
        accumulators_[r].finish(s, own ? 1 : count, own ? 0 : i, cuts_.reduced, result.type, at(result.argument),
                                at(result.variance), index);
      }
    }
  }

  std::size_t size_of_root(std::size_t r) const {
    const DType t = program_.root_type(results_[r].root);
    return t == DType::f16 || t == DType::bf16 ? 4 : size_of(t);
  }

  std::vector<Result> results_;
  TileProgram program_;
  Cuts cuts_;
  Walk result_walk_;
  std::size_t inputs_, outputs_;
  Context context_;
  std::vector<Accumulator> accumulators_;
  std::vector<std::int64_t> starts_;  ///< of each result's words in a state
  bool moments_ = false;              ///< some result needs the first elements, to shift by
  std::int64_t words_ = 0;            ///< of one piece's state
  mutable std::vector<TileProgram::Scratch> scratch_;
  mutable std::vector<std::uint64_t> local_;  ///< states, by thread, when nothing is chunked
};

/// The ordered nest: loops grouped as kept, reduced, columns.
struct OrderedNest {
  Nest nest;
  std::int64_t kept = 1, reduced = 1, columns = 1;
  Nest kept_nest;  ///< kept loops and columns only, with the result's strides
};

OrderedNest order_nest(const Graph& body, const Problem& p, const TileGraph& graph, const Layout& primary) {
  std::vector<Loop> loops = loops_of(primary);
  loops.erase(std::remove_if(loops.begin(), loops.end(), [](const Loop& l) { return l.extent == 1; }), loops.end());
  const auto is_reduced = [&](const Loop& l) { return p.reduced[static_cast<std::size_t>(l.dimension)]; };
  std::size_t inner = loops.size();
  while (inner > 0 && !is_reduced(loops[inner - 1])) --inner;
  if (inner == 0) inner = loops.size();  // nothing is reduced: all loops are kept
  std::vector<Loop> kept, reduced, columns(loops.begin() + static_cast<std::ptrdiff_t>(inner), loops.end());
  for (std::size_t l = 0; l < inner; ++l) (is_reduced(loops[l]) ? reduced : kept).push_back(loops[l]);

  OrderedNest o;
  std::vector<Loop> all;
  for (const auto* part : {&kept, &reduced, &columns})
    for (const Loop& l : *part) all.push_back(l);
  for (const Loop& l : kept) o.kept *= l.extent;
  for (const Loop& l : reduced) o.reduced *= l.extent;
  for (const Loop& l : columns) o.columns *= l.extent;
  for (const Loop& l : all) o.nest.extents.push_back(l.extent);
  for (const TileOperand& t : graph.operands()) o.nest.strides.push_back(*strides_in(all, body.layout(t.value), t.map));
  for (const TileIota& i : graph.iotas()) o.nest.strides.push_back(index_strides(all, i.dimension));

  // Where a kept element goes in the row-major result.
  DimMap map;
  Dims extents;
  for (int d = 0; d < p.space.rank(); ++d)
    if (!p.reduced[static_cast<std::size_t>(d)]) map.push_back(d), extents.push_back(p.space[d]);
  std::vector<Loop> outer = kept;
  outer.insert(outer.end(), columns.begin(), columns.end());
  for (const Loop& l : outer) o.kept_nest.extents.push_back(l.extent);
  o.kept_nest.strides.push_back(*strides_in(outer, Layout::dense(Shape(extents)), map));
  return o;
}

std::unique_ptr<ReductionKernel> build(const Graph& body, const Problem& p, const TileGraph& graph,
                                       const Layout& primary, const Context& context) {
  const OrderedNest o = order_nest(body, p, graph, primary);
  std::vector<Walk> operands, iotas;
  std::size_t next = 0;
  for (std::size_t i = 0; i < graph.operands().size(); ++i) operands.emplace_back(o.nest, next++);
  for (std::size_t i = 0; i < graph.iotas().size(); ++i) iotas.emplace_back(o.nest, next++);
  TileProgram program(graph, std::move(operands), std::move(iotas), {}, *context.tiles);
  return std::make_unique<ReductionKernel>(p, std::move(program), cut(o.kept, o.reduced, o.columns),
                                           Walk(o.kept_nest, 0), body.inputs().size(), body.outputs().size(), context);
}

}  // namespace

Claim claim_reduction(const Graph& body, const Context& context) {
  const Problem p = read_problem(body);
  if (!p.refusal.empty()) return Claim::refuse(p.refusal);
  const TileGraph graph(body, p.operands, p.space, *context.tiles);
  if (!graph.refusal().empty()) return Claim::refuse(graph.refusal());
  LoopLayouts layouts = choose_layouts(body, graph, {});
  if (!layouts.refusal.empty()) return Claim::refuse(layouts.refusal);
  if (layouts.primary.has_padding()) return Claim::refuse("a padded operand");
  KernelSpec spec;
  for (const GraphOutput& o : body.outputs())
    layouts.body.value(o.value).layout = Layout::dense(body.type(o.value).shape);
  spec.scratch_bytes = build(layouts.body, p, graph, layouts.primary, context)->scratch_bytes();
  spec.body = std::move(layouts.body);
  spec.implementation = "loop.reduction";
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_reduction(const KernelSpec& spec, const Context& context) {
  const Problem p = read_problem(spec.body);
  check_internal(p.refusal.empty(), "reduction compiled without a claim: " + p.refusal);
  const TileGraph graph(spec.body, p.operands, p.space, *context.tiles);
  const LoopLayouts layouts = choose_layouts(spec.body, graph, {});
  check_internal(graph.refusal().empty() && layouts.refusal.empty(), "reduction compiled without a claim");
  return build(spec.body, p, graph, layouts.primary, context);
}

}  // namespace weft::cpu
