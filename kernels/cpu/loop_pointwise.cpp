// A result may lie exactly over an operand of the same type and layout: each tile reads before it writes.
#include "kernels/cpu/loop_pointwise.hpp"

#include <fmt/format.h>

#include <cstring>

#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/tile_layouts.hpp"
#include "kernels/cpu/tile_program.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

std::vector<ValueId> results_of(const Graph& body) {
  std::vector<ValueId> results;
  for (const GraphOutput& o : body.outputs()) results.push_back(o.value);
  return results;
}

/// Offsets of the padding of a layout, which results must hold as zeros.
std::vector<std::int64_t> padding_offsets(const Layout& layout) {
  std::vector<std::int64_t> result;
  if (!layout.has_padding()) return result;
  Dims extents;
  std::int64_t total = 1;
  for (int d = 0; d < layout.shape.rank(); ++d) extents.push_back(layout.padded(d)), total *= extents.back();
  Dims index(extents.size(), 0);
  for (std::int64_t i = 0; i < total; ++i) {
    bool inside = true;
    for (int d = 0; d < layout.shape.rank(); ++d)
      inside = inside && index[static_cast<std::size_t>(d)] < layout.shape[d];
    if (!inside) result.push_back(layout.offset(index));
    for (std::size_t d = extents.size(); d-- > 0;) {
      if (++index[d] < extents[d]) break;
      index[d] = 0;
    }
  }
  return result;
}

class PointwiseKernel final : public CpuKernel {
 public:
  PointwiseKernel(TileProgram program, std::int64_t elements, std::int64_t tile,
                  std::vector<TileProgram::Output> outputs, std::vector<std::int64_t> padding, const Context& context)
      : program_(std::move(program)),
        elements_(elements),
        tile_(tile),
        outputs_(std::move(outputs)),
        padding_(std::move(padding)),
        context_(context) {
    for (int t = 0; t < context.threads; ++t) scratch_.emplace_back(program_);
  }

  void run(std::span<std::byte* const> arguments) const override {
    parallel_ranges(context_.threads, elements_, tile_, elements_ * static_cast<std::int64_t>(outputs_.size()),
                    [&](int thread, std::int64_t begin, std::int64_t end) {
                      TileProgram::Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
                      scratch.begin();
                      for (std::int64_t at = begin; at < end; at += tile_)
                        program_.evaluate(scratch, arguments, at, std::min(tile_, end - at));
                    });
    for (const TileProgram::Output& o : outputs_)
      for (const std::int64_t offset : padding_)
        std::memset(arguments[o.argument] + static_cast<std::size_t>(offset) * size_of(o.type), 0, size_of(o.type));
  }

 private:
  TileProgram program_;
  std::int64_t elements_, tile_;
  std::vector<TileProgram::Output> outputs_;
  std::vector<std::int64_t> padding_;
  Context context_;
  mutable std::vector<TileProgram::Scratch> scratch_;  ///< by thread
};

}  // namespace

Claim claim_pointwise(const Graph& body, const Context& context) {
  if (body.outputs().empty()) return Claim::refuse("no result");
  const std::vector<ValueId> results = results_of(body);
  const TileGraph graph(body, results, body.type(results[0]).shape, *context.tiles);
  if (!graph.refusal().empty()) return Claim::refuse(graph.refusal());
  LoopLayouts layouts = choose_layouts(body, graph, results);
  if (!layouts.refusal.empty()) return Claim::refuse(layouts.refusal);
  KernelSpec spec;
  spec.body = std::move(layouts.body);
  spec.implementation = "loop.pointwise";
  spec.bytes = operand_bytes(spec.body);
  spec.overwrites_operands = true;
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_pointwise(const KernelSpec& spec, const Context& context) {
  const Graph& body = spec.body;
  const std::vector<ValueId> results = results_of(body);
  const TileGraph graph(body, results, body.type(results.at(0)).shape, *context.tiles);
  check_internal(graph.refusal().empty(), "pointwise kernel compiled without a claim: " + graph.refusal());
  const LoopLayouts layouts = choose_layouts(body, graph, results);
  check_internal(layouts.refusal.empty(), "pointwise kernel compiled without a claim: " + layouts.refusal);

  const std::vector<Loop> loops = loops_of(layouts.primary);
  Nest nest;
  for (const Loop& loop : loops) nest.extents.push_back(loop.extent);
  DimMap identity;
  for (int d = 0; d < graph.space().rank(); ++d) identity.push_back(d);
  for (const ValueId r : results) nest.strides.push_back(*strides_in(loops, body.layout(r), identity));
  for (const TileOperand& o : graph.operands()) nest.strides.push_back(*strides_in(loops, body.layout(o.value), o.map));
  for (const TileIota& i : graph.iotas()) nest.strides.push_back(index_strides(loops, i.dimension));
  nest.collapse();

  std::vector<TileProgram::Output> outputs;
  std::size_t next = 0;
  for (std::size_t r = 0; r < results.size(); ++r)
    outputs.push_back({static_cast<int>(r), body.inputs().size() + r, body.type(results[r]).dtype, Walk(nest, next++)});
  std::vector<Walk> operands, iotas;
  for (std::size_t i = 0; i < graph.operands().size(); ++i) operands.emplace_back(nest, next++);
  for (std::size_t i = 0; i < graph.iotas().size(); ++i) iotas.emplace_back(nest, next++);

  // Whole inner loops in a tile: then what repeats with them is loaded once.
  const std::int64_t inner = nest.extents.empty() ? 1 : nest.extents.back();
  const std::int64_t tile = inner > 0 && inner <= kTile ? kTile / inner * inner : kTile;
  TileProgram program(graph, std::move(operands), std::move(iotas), outputs, *context.tiles);
  return std::make_unique<PointwiseKernel>(std::move(program), nest.elements(), tile, std::move(outputs),
                                           padding_offsets(layouts.primary), context);
}

}  // namespace weft::cpu
