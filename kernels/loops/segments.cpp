// Taking a body apart, and the kernel of its parts.
#include "kernels/loops/segments.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "kernels/loops/body.hpp"
#include "kernels/loops/build.hpp"
#include "kernels/loops/layouts.hpp"
#include "kernels/loops/rows_cuts.hpp"
#include "kernels/loops/rows_nest.hpp"
#include "kernels/loops/rows_values.hpp"

namespace weft::loops {
namespace {

/// A part of the body as a body of its own.
struct Part {
  Graph body;
  std::vector<std::size_t> inputs, outputs;  ///< positions among those of the whole
};

/// For each value, a number that those share which some node connects.
std::vector<int> connected(const Graph& body) {
  std::vector<int> leader(body.values().size());
  std::iota(leader.begin(), leader.end(), 0);
  const auto find = [&](ValueId v) {
    int at = v;
    while (leader[static_cast<std::size_t>(at)] != at)
      at = leader[static_cast<std::size_t>(at)] =
          leader[static_cast<std::size_t>(leader[static_cast<std::size_t>(at)])];
    return at;
  };
  for (const Node& node : body.nodes())
    for (const std::vector<ValueId>* values : {&node.inputs, &node.outputs})
      for (const ValueId v : *values) leader[static_cast<std::size_t>(find(v))] = find(node.outputs.at(0));
  for (std::size_t v = 0; v < leader.size(); ++v) leader[v] = find(static_cast<ValueId>(v));
  return leader;
}

/// In the order of their first results. Inputs that nothing reads belong to none.
std::vector<Part> parts_of(const Graph& body) {
  const std::vector<int> leader = connected(body);
  std::vector<Part> parts;
  std::map<int, std::size_t> part_of;
  const auto index = [](ValueId v) { return static_cast<std::size_t>(v); };
  for (const GraphOutput& o : body.outputs())
    if (part_of.try_emplace(leader[index(o.value)], parts.size()).second) parts.emplace_back();
  std::vector<ValueId> inside(body.values().size(), kNone);
  const auto part = [&](ValueId v) -> Part* {
    const auto found = part_of.find(leader[index(v)]);
    return found == part_of.end() ? nullptr : &parts[found->second];
  };
  for (std::size_t i = 0; i < body.inputs().size(); ++i) {
    const ValueId v = body.inputs()[i].value;
    Part* p = part(v);
    if (p == nullptr) continue;
    inside[index(v)] = p->body.add_input(std::to_string(p->inputs.size()), InputRole::feed, body.type(v));
    p->body.value(inside[index(v)]).layout = body.value(v).layout;
    p->inputs.push_back(i);
  }
  for (const Node& node : body.nodes()) {
    Part* p = part(node.outputs.at(0));
    if (p == nullptr) continue;
    std::vector<ValueId> operands;
    std::vector<TensorType> types;
    for (const ValueId v : node.inputs) operands.push_back(inside[index(v)]);
    for (const ValueId v : node.outputs) types.push_back(body.type(v));
    const NodeId made = p->body.append(node.op, operands, node.attributes, types);
    p->body.node(made).literal = node.literal;
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      inside[index(node.outputs[i])] = p->body.node(made).outputs[i];
  }
  for (std::size_t o = 0; o < body.outputs().size(); ++o) {
    const ValueId v = body.outputs()[o].value;
    Part* p = part(v);
    p->body.value(inside[index(v)]).layout = body.value(v).layout;
    p->body.add_output(std::to_string(p->outputs.size()), OutputRole::fetch, inside[index(v)]);
    p->outputs.push_back(o);
  }
  return parts;
}

/// One walk over memory, in which every operand and result is dense or a single number.
bool is_one_run(const RowsNest& nest) {
  const auto plain = [](const Stream& s) { return s.column == 0 || s.column == 1; };
  return nest.column_mode && nest.outer.empty() && nest.reduced.empty() && nest.columns > 1 && nest.padded.empty() &&
         nest.iotas.empty() && std::all_of(nest.operands.begin(), nest.operands.end(), plain) &&
         std::all_of(nest.outputs.begin(), nest.outputs.end(), [](const Stream& s) { return s.column == 1; });
}

struct PartKernel {
  std::string refusal;
  Graph body;  ///< laid out
  Kernel kernel;
  std::int64_t elements = 0;
};

PartKernel make_part(const Graph& body, const RowsSchedule& schedule) {
  PartKernel result;
  const Space space(body);
  result.refusal = space.refusal();
  if (result.refusal.empty() && !space.reductions().empty()) result.refusal = "a reduction in a segment";
  if (!result.refusal.empty()) return result;
  SpaceLayouts layouts = choose_layouts(body, space);
  result.refusal = layouts.refusal;
  if (!result.refusal.empty()) return result;
  const RowsNest nest = rows_nest(space, layouts);
  if (!is_one_run(nest)) {
    result.refusal = "a segment that is not one run of memory";
    return result;
  }
  const RowsCuts cuts = cut_rows(space, nest, schedule);
  Kernel kernel;
  Builder b(kernel);
  std::vector<std::int32_t> operands, outputs;
  for (const SpaceOperand& o : space.operands())
    operands.push_back(kernel.add_buffer({body.type(o.value).dtype, static_cast<int>(o.argument), 0}));
  for (std::size_t o = 0; o < space.outputs().size(); ++o)
    outputs.push_back(
        kernel.add_buffer({body.type(space.outputs()[o].value).dtype, static_cast<int>(body.inputs().size() + o), 0}));
  const std::int32_t length =
      kernel.add_buffer({DType::i64, static_cast<int>(body.inputs().size() + body.outputs().size()), 0});
  const std::int32_t block = kernel.add_index(), element = kernel.add_index();
  const ExprId first = b.mul(b.index(block), b.integer(kSegmentBlock));
  const ExprId left = b.sub(b.load(length, b.integer(0)), first);
  const ExprId extent = b.select(b.binary(Op::less, left, b.integer(kSegmentBlock)), left, b.integer(kSegmentBlock));
  RowsValues values(b, space, nest, operands);
  values.move_to({{}, {}, b.add(first, b.index(element))});
  // All values before all stores: a result may lie over an operand.
  std::vector<Stmt> lets, stores;
  for (std::size_t o = 0; o < space.outputs().size(); ++o) {
    const ExprId value = values.value(space.outputs()[o].of);
    const std::int32_t local = kernel.add_local({b.type(value), false, 0});
    lets.push_back(declare(local, value));
    stores.push_back(store(outputs[o], values.address(nest.outputs[o]), b.local(local)));
  }
  lets.insert(lets.end(), stores.begin(), stores.end());
  kernel.phases.push_back({block, 1, 0, {loop_of(LoopKind::vector, element, extent, std::move(lets), cuts.lanes)}});
  result.refusal = values.refusal();
  result.body = std::move(layouts.body);
  result.kernel = std::move(kernel);
  result.elements = nest.columns;
  return result;
}

}  // namespace

SegmentsKernel make_segments(const Graph& body, const RowsSchedule& schedule) {
  SegmentsKernel result;
  result.body = body;
  const std::vector<Part> parts = parts_of(body);
  if (parts.size() < 2) result.refusal = "one segment only";
  std::string text;
  if (!result.refusal.empty()) return result;
  for (const Part& part : parts) {
    PartKernel made = make_part(part.body, schedule);
    result.refusal = made.refusal;
    if (!result.refusal.empty()) return result;
    Segment segment{part.inputs, made.elements};
    for (const std::size_t o : part.outputs) segment.arguments.push_back(body.inputs().size() + o);
    result.segments.push_back(std::move(segment));
    for (std::size_t i = 0; i < part.inputs.size(); ++i)
      result.body.value(body.inputs()[part.inputs[i]].value).layout = made.body.layout(made.body.inputs()[i].value);
    for (std::size_t o = 0; o < part.outputs.size(); ++o)
      result.body.value(body.outputs()[part.outputs[o]].value).layout = made.body.layout(made.body.outputs()[o].value);
    const std::string own = made.kernel.str();
    if (result.segments.size() == 1) {
      result.kernel = std::move(made.kernel);
      text = own;
    } else if (own != text) {
      result.refusal = "segments that compute different things";
      return result;
    }
  }
  for (const GraphInput& i : body.inputs())
    if (auto& layout = result.body.value(i.value).layout; !layout) layout = Layout::dense(body.type(i.value).shape);
  return result;
}

}  // namespace weft::loops
