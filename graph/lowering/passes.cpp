// The list, and how each form is measured and verified.
#include "graph/lowering/passes.hpp"

#include <algorithm>

#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/accumulate.hpp"
#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/precision.hpp"
#include "graph/ir/passes/prune.hpp"
#include "graph/ir/passes/recompute.hpp"
#include "graph/ir/passes/rewrite.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/ir/passes/verify.hpp"
#include "graph/lowering/body.hpp"
#include "graph/lowering/buckets.hpp"
#include "graph/lowering/emit.hpp"
#include "graph/lowering/fuse.hpp"
#include "graph/lowering/layouts.hpp"
#include "graph/lowering/liveness.hpp"
#include "graph/lowering/memory.hpp"
#include "graph/lowering/merge_updates.hpp"
#include "graph/lowering/preferences.hpp"
#include "graph/lowering/rematerialise.hpp"
#include "graph/lowering/reuse.hpp"
#include "graph/lowering/schedule.hpp"
#include "graph/lowering/segments.hpp"
#include "graph/lowering/unfused.hpp"
#include "graph/lowering/updates.hpp"
#include "graph/lowering/verify.hpp"
#include "graph/partition/pack_exchanges.hpp"
#include "graph/partition/partition.hpp"
#include "graph/partition/regather.hpp"

namespace weft::lowering {
namespace {

// Each walk applies the rules of those before it too: an identity may leave something to fold.

void fold(StepIr& s, const PassContext&) { s.graph = simplified(s.graph, {true, false, false}); }

void apply_identities(StepIr& s, const PassContext& c) { s.graph = simplified(s.graph, {c.on("fold"), true, false}); }

void merge_equal(StepIr& s, const PassContext& c) {
  s.graph = pruned(simplified(s.graph, {c.on("fold"), c.on("algebra"), true}));
}

void take_share(StepIr& s, const PassContext& c) {
  if (!c.options.mesh) return;
  s.even = parameters_are_even(s.graph, *c.options.mesh, c.options.cuts);
  s.graph = partition(s.graph, *c.options.mesh, c.options.rank, c.options.cuts);
}

void gather_again(StepIr& s, const PassContext&) { s.graph = regather(s.graph); }

void pack_small(StepIr& s, const PassContext& c) {
  if (s.even) s.graph = pack_exchanges(s.graph, c.options.bucket_bytes);
}

/// What of it the device does not take is decomposed. It is found where the forward graph is made
/// (graph/ir/passes/attention.hpp), which this pass's switch is for too.
void keep_attention(StepIr& s, const PassContext& c) {
  s.graph = rewritten(s.graph, [&](GraphBuilder& b, const Node& node) -> std::optional<std::vector<ValueId>> {
    if (!is_attention(node.op)) return std::nullopt;
    GraphBuilder alone;
    std::vector<ValueId> operands;
    for (const ValueId v : node.inputs)
      operands.push_back(alone.input(std::to_string(operands.size()), InputRole::feed, b.type(v)));
    for (const ValueId v : alone.node(node.op, std::move(operands), node.attributes))
      alone.output(std::to_string(v), OutputRole::fetch, v);
    if (c.oracle.ask(alone.graph()).offer) return std::nullopt;
    return rules_of(node.op).decompose(b, node);
  });
}

void decompose_attention(StepIr& s, const PassContext&) {
  s.graph = decompose(s.graph, [](const Node& node) { return !is_attention(node.op); });
}

/// Decomposes composites, but not those operators that the device takes whole wherever they stand.
void decompose_for_device(StepIr& s, const PassContext& c) {
  s.graph = decompose(s.graph, [](const Node& node) {
    return is_pointwise(node.op) || node.op == Op::moments || is_attention(node.op);
  });
  bool claimed = true;
  for (const Node& node : s.graph.nodes())
    if (node.op == Op::moments) {
      const NodeId id = s.graph.value(node.outputs.at(0)).producer;
      claimed = claimed && c.oracle.ask(make_unit(s.graph, {id}, node.outputs, "").body).offer.has_value();
    }
  if (!claimed)
    s.graph = decompose(s.graph, [](const Node& node) { return is_pointwise(node.op) || is_attention(node.op); });
}

/// Estimates of kernels of one kind differ by layouts, those of loops and of the library by more than this.
constexpr double kNarrowMayTake = 2;
/// Of the contractions' time, that is what selective recomputation may take.
constexpr double kSelectiveShare = 0.15;

/// Whether the device is about at least as fast with narrow operands: what its library has no code for, it does in
/// loops.
bool takes_narrow(const Graph& graph, const Node& node, DType narrow, DType result, const KernelOracle& oracle) {
  const Multiplied factors = multiplied(node.op);
  const auto seconds = [&](DType type, DType to) {
    const auto typed = [&](ValueId v, bool factor, DType as) {
      return TensorType{factor ? as : graph.type(v).dtype, graph.type(v).shape};
    };
    Graph body;
    std::vector<ValueId> inputs;
    std::vector<TensorType> results;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      inputs.push_back(
          body.add_input(std::to_string(i), InputRole::feed, typed(node.inputs[i], i < factors.operands, type)));
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      results.push_back(typed(node.outputs[i], i < factors.results, to));
    Attributes attributes = node.attributes;
    if (type != to) attributes.set("dtype", to);
    const NodeId n = body.append(node.op, inputs, attributes, results);
    for (const ValueId v : body.node(n).outputs) body.add_output(std::to_string(v), OutputRole::fetch, v);
    const KernelAnswer answer = oracle.ask(body);
    return answer.offer ? std::optional(answer.offer->seconds) : std::nullopt;
  };
  const std::optional<double> wide = seconds(DType::f32, DType::f32), less = seconds(narrow, result);
  return less && (!wide || *less <= kNarrowMayTake * *wide);
}

void narrow(StepIr& s, const PassContext& c) {
  const DType type = c.options.compute;
  if (type != DType::bf16 && type != DType::f16) return;
  s.graph = narrowed(s.graph, type,
                     [&](const Node& n, DType result) { return takes_narrow(s.graph, n, type, result, c.oracle); });
}

void accumulate(StepIr& s, const PassContext&) { s.graph = pruned(accumulate_in_place(s.graph)); }

void run_segments_again(StepIr& s, const PassContext& c) {
  if (c.options.recompute == Recompute::full) s.graph = pruned(recompute_segments(s.graph));
}

void recompute_nothing(StepIr& s, const PassContext&) { s.once = s.graph; }
void recompute(StepIr& s, const PassContext&) {
  s.once = s.graph;
  s.graph = pruned(recompute_cheap(s.graph));
}

void make_again(StepIr& s, const PassContext& c) {
  RematerialisationOptions options;
  if (c.options.recompute == Recompute::selective) options.share = kSelectiveShare;
  Rematerialised r = rematerialise(s.graph, c.oracle, options);
  s.graph = std::move(r.graph);
  s.alone = std::move(r.kernels);
}

void bucket(StepIr& s, const PassContext& c) { s.buckets = plan_buckets(s.graph, c.options.bucket_bytes); }
void bucket_alone(StepIr& s, const PassContext&) { s.buckets = plan_buckets(s.graph, 0); }

void prefer_layouts(StepIr& s, const PassContext& c) { s.graph = with_preferred_layouts(std::move(s.graph), c.oracle); }

void make_units(StepIr& s, std::vector<Unit> units) {
  s.units = std::move(units);
  s.form = Form::units;
}
void fuse_nodes(StepIr& s, const PassContext& c) { make_units(s, fuse(s.graph, {s.buckets, s.alone}, c.oracle)); }
void fuse_nothing(StepIr& s, const PassContext& c) { make_units(s, one_node_units(s.graph, s.buckets, c.oracle)); }

void make_tensors(StepIr& s, LoweredGraph lowered) {
  s.lowered = std::move(lowered);
  s.form = Form::tensors;
}
void choose_layouts(StepIr& s, const PassContext& c) { make_tensors(s, assign_layouts(s.graph, s.units, c.oracle)); }
void keep_row_major(StepIr& s, const PassContext& c) {
  make_tensors(s, assign_layouts(s.graph, s.units, c.oracle, false));
}

void merge_buckets(StepIr& s, const PassContext& c) {
  s.lowered = bucket_collectives(std::move(s.lowered), s.buckets, c.oracle);
}

void update_in_place(StepIr& s, const PassContext& c) {
  s.lowered = update_states_in_place(std::move(s.lowered), c.options.guard);
}

void make_schedule(StepIr& s, std::vector<Step> steps) {
  s.steps = std::move(steps);
  s.form = Form::schedule;
}
void order(StepIr& s, const PassContext&) { make_schedule(s, schedule(s.lowered)); }
void keep_order(StepIr& s, const PassContext&) { make_schedule(s, schedule_as_written(s.lowered)); }

void merge_updates(StepIr& s, const PassContext& c) { merge_small_updates(s.lowered, s.steps, c.oracle); }

void reuse_operands(StepIr& s, const PassContext&) { s.lowered = reuse_dying_operands(std::move(s.lowered), s.steps); }

void emit_program(StepIr& s, const PassContext& c) {
  s.program = emit(s.lowered, s.steps, c.options.role, c.options.arena);
  place_arena(s.program, c.options.arena, pack_apart);
  s.form = Form::program;
}

void plan_memory(StepIr& s, const PassContext& c) { place_arena(s.program, c.options.arena, pack); }

// clang-format off
constexpr Pass kPasses[] = {
    {"fold", "operators on constants are evaluated", fold, true},
    {"algebra", "identities that hold bit for bit: x * 1, a reshape of a reshape, …", apply_identities, true},
    {"cse", "equal nodes become one, and what nothing reads is dropped", merge_equal, true},
    {"partition", "this rank's share of the step, collectives inserted", take_share},
    {"gathers", "parameters in parts are gathered again for the backward pass, and ahead of their use", gather_again, true},
    {"packs", "small gathers and scatters of states' parts travel together", pack_small, true},
    {"attention", "attention stays one kernel, without its matrix of scores", keep_attention, true, decompose_attention},
    {"decompose", "composites that the device does not take whole become primitives", decompose_for_device},
    {"fold", "again, over what partition and decompose made", fold, true},
    {"algebra", "again", apply_identities, true},
    {"cse", "again", merge_equal, true},
    {"precision", "what contractions read is stored in 16 bits where the job asks for it", narrow, true},
    {"accumulate", "sums by index that are added to a tensor go straight into it", accumulate, true},
    {"segments", "parts of the forward pass run again in the backward pass, where the plan says recompute: full", run_segments_again, true},
    {"recompute", "cheap results that only distant kernels need are made again there", recompute, true, recompute_nothing},
    {"rematerialise", "what the backward pass reads of the forward pass is made again where that takes next to no time", make_again, true},
    {"buckets", "all-reduces of gradients that travel together", bucket, true, bucket_alone},
    {"layouts", "the order of memory that suits convolutions and what lies between them, chosen together", prefer_layouts, true},
    {"fuse", "nodes that share a kernel", fuse_nodes, true, fuse_nothing},
    {"layouts", "where elements lie in memory: a kernel's own layout is kept for the next", choose_layouts, true, keep_row_major},
    {"collectives", "members of a bucket become windows of one tensor", merge_buckets},
    {"updates", "states are updated where they are", update_in_place, true},
    {"schedule", "order for memory and exposed communication", order, true, keep_order},
    {"launches", "small updates of states that run near each other share a launch", merge_updates, true},
    {"reuse", "results take the memory of operands that end with them", reuse_operands, true},
    {"emit", "buffers and instructions", emit_program},
    {"memory", "buffers that do not live at once share the arena", plan_memory, true},
};
// clang-format on

std::int64_t bytes_of(const TensorType& type) {
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

PassSize size_of_graph(const Graph& graph) {
  PassSize size{static_cast<std::int64_t>(graph.nodes().size()), 0, 0};
  for (const Value& v : graph.values())
    if (v.producer != kNone) size.bytes += bytes_of(v.type);
  return size;
}

PassSize size_of_units(const StepIr& step) {
  PassSize size{0, static_cast<std::int64_t>(step.units.size()), 0};
  for (const Unit& u : step.units) {
    size.nodes += static_cast<std::int64_t>(u.nodes.size());
    for (const ValueId v : u.outputs) size.bytes += bytes_of(step.graph.type(v));
  }
  return size;
}

PassSize size_of_tensors(const LoweredGraph& graph) {
  PassSize size{0, static_cast<std::int64_t>(graph.units.size()), 0};
  for (const LoweredUnit& u : graph.units) size.nodes += static_cast<std::int64_t>(u.spec.body.nodes().size());
  for (const LoweredTensor& t : graph.tensors)
    if (t.kind == BufferKind::arena && t.storage < 0) size.bytes += t.bytes();
  return size;
}

}  // namespace

bool PassContext::on(std::string_view pass) const {
  return std::find(options.without.begin(), options.without.end(), pass) == options.without.end();
}

std::span<const Pass> passes() { return kPasses; }

PassSize size_of(const StepIr& step) {
  switch (step.form) {
    case Form::graph: return size_of_graph(step.graph);
    case Form::units: return size_of_units(step);
    case Form::tensors: return size_of_tensors(step.lowered);
    case Form::schedule: {
      PassSize size = size_of_tensors(step.lowered);
      size.units = static_cast<std::int64_t>(step.steps.size());
      size.bytes = peak_bytes(step.lowered, step.steps);
      return size;
    }
    case Form::program: break;
  }
  const Program& p = step.program;
  PassSize size{0, static_cast<std::int64_t>(p.instructions.size()),
                p.arena_bytes[0] + p.arena_bytes[1] + p.arena_bytes[2]};
  for (const Instruction& i : p.instructions)
    if (i.kernel >= 0) size.nodes += static_cast<std::int64_t>(p.kernels[index(i.kernel)].body.nodes().size());
  return size;
}

void verify(const StepIr& step) {
  switch (step.form) {
    case Form::graph: verify_graph(step.graph); break;
    case Form::units: verify_units(step.graph, step.units); break;
    case Form::tensors: verify_tensors(step.lowered); break;
    case Form::schedule: verify_schedule(step.lowered, step.steps); break;
    case Form::program: step.program.verify(); break;
  }
}

}  // namespace weft::lowering
