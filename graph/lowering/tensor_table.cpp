// Adding tensors, and finding them places.
#include "graph/lowering/tensor_table.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/lowering/body.hpp"
#include "weft/error.hpp"

namespace weft::lowering {

int TensorTable::add_tensor(std::string name, BufferKind kind, DType type, Layout layout) {
  result_.tensors.push_back({std::move(name), kind, type, std::move(layout), std::nullopt, -1, -1, 0});
  return static_cast<int>(result_.tensors.size()) - 1;
}

int TensorTable::tensor_for(ValueId v) {
  int& slot = tensor_of_[index(v)];
  if (slot >= 0) return slot;
  const Node* producer = graph_.producer(v);
  if (producer == nullptr || producer->op != Op::constant)
    throw InternalError(fmt::format("lowering: %{} ({} '{}', {}) is read before it is made", v,
                                    producer == nullptr ? "input" : weft::name_of(producer->op),
                                    producer == nullptr ? "" : producer->name, graph_.type(v).str()));
  slot = add_tensor(fmt::format("constant {}", v), BufferKind::constant, graph_.type(v).dtype,
                    Layout::dense(graph_.type(v).shape));
  result_.tensors[index(slot)].literal = producer->literal;
  return slot;
}

int TensorTable::in_layout(int from, const Layout& layout) {
  if (at(from).layout.same_placement(layout)) return from;
  for (const int t : reorders_[from])
    if (at(t).layout.same_placement(layout)) return t;
  const int to = reordered(from, layout);
  reorders_[from].push_back(to);
  return to;
}

int TensorTable::reordered(int from, const Layout& layout) {
  const KernelAnswer answer = oracle_.ask(reorder_body(at(from).dtype, at(from).layout, layout));
  if (!answer.offer) throw InternalError(fmt::format("no reorder from {} to {}", at(from).layout.str(), layout.str()));
  const int to = add_tensor(at(from).name + " (reordered)", BufferKind::arena, at(from).dtype, layout);
  add_kernel("reorder " + at(from).name, {}, {from}, {to}, *answer.offer);
  return to;
}

void TensorTable::add_kernel(std::string name, std::vector<std::string> sources, std::vector<int> inputs,
                             std::vector<int> outputs, const KernelOffer& offer) {
  LoweredUnit unit;
  unit.name = std::move(name);
  unit.sources = std::move(sources);
  unit.inputs = std::move(inputs);
  unit.outputs = std::move(outputs);
  unit.spec = offer.spec;
  unit.seconds = offer.seconds;
  unit.rank = rank_;
  result_.units.push_back(std::move(unit));
}

std::string TensorTable::name_of_value(ValueId v) const {
  const Node* node = graph_.producer(v);
  return node == nullptr || node->name.empty() ? fmt::format("%{}", v) : fmt::format("%{} {}", v, node->name);
}

int WindowTable::window_in(int whole, const Window& window, std::string name) {
  const int t = add_tensor(std::move(name), at(whole).kind, at(whole).dtype, window.layout);
  LoweredTensor& tensor = result_.tensors[index(t)];
  tensor.storage = result_.root(whole);
  tensor.offset = at(whole).offset + window.offset * static_cast<std::int64_t>(size_of(tensor.dtype));
  return t;
}

/// The memory of a concatenation whose parts are written in place; it may be part of another one.
int WindowTable::tensor_of_whole(ValueId whole) {
  int& slot = wholes_.try_emplace(whole, -1).first->second;
  if (slot >= 0) return slot;
  if (const auto place = windows_->place_of(whole))
    return slot = window_in(tensor_of_whole(place->whole), place->window, name_of_value(whole));
  return slot = add_tensor(name_of_value(whole), BufferKind::arena, graph_.type(whole).dtype,
                           Layout::dense(graph_.type(whole).shape));
}

bool WindowTable::write_in_place(const Unit& unit, KernelOffer& offer) const {
  if (!windows_) return false;
  Graph body = offer.spec.body;
  bool any = false;
  for (std::size_t i = 0; i < unit.outputs.size(); ++i) {
    const auto place = windows_->place_of(unit.outputs[i]);
    if (!place) continue;
    auto& layout = body.value(body.outputs()[i].value).layout;
    if (!layout || !layout->is_row_major()) return false;
    layout = place->window.layout;
    any = true;
  }
  if (!any) return false;
  KernelAnswer answer = oracle_.ask(body);
  if (!answer.offer) return false;
  offer = std::move(*answer.offer);
  return true;
}

bool WindowTable::place_slice(const Unit& unit) {
  const Node& node = graph_.node(unit.nodes.front());
  if (!windows_ || unit.nodes.size() != 1 || node.op != Op::slice || !windows_->is_window(node)) return false;
  const int from = tensor_for(node.inputs[0]);
  const auto window = window_of_slice(node, at(from).layout);
  if (!window) return false;
  const int t = window_in(from, *window, name_of_value(node.outputs[0]));
  result_.tensors[index(t)].view_of = from;
  tensor_of_[index(node.outputs[0])] = t;
  result_.decisions.push_back({unit.name, "window", "", 0, {}});
  return true;
}

bool WindowTable::place_concat(const Unit& unit) {
  const Node& node = graph_.node(unit.nodes.front());
  if (!windows_ || unit.nodes.size() != 1 || node.op != Op::concat) return false;
  const ValueId v = node.outputs[0];
  std::vector<int> parts;
  for (const ValueId part : node.inputs) parts.push_back(tensor_for(part));
  const auto axis = index(static_cast<int>(node.attributes.integer("axis")));
  const Layout dense = Layout::dense(graph_.type(v).shape);
  int whole = -1;
  if (windows_->is_planned(v)) {
    whole = tensor_of_whole(v);
  } else if (parts_follow_each_other(parts, dense, axis)) {
    whole = window_in(parts.front(), {dense, 0}, name_of_value(v));
  } else {
    return false;
  }
  LoweredUnit join;
  join.kind = UnitKind::view;
  join.name = unit.name;
  join.rank = rank_;
  std::int64_t offset = 0;
  for (int& part : parts) {
    const Window window{{at(part).layout.shape, at(whole).layout.strides, {}}, offset};
    offset += at(part).layout.shape[static_cast<int>(axis)] * at(whole).layout.strides[axis];
    part = in_window(part, whole, window);
  }
  join.inputs = std::move(parts);
  join.outputs = {whole};
  tensor_of_[index(v)] = whole;
  result_.units.push_back(std::move(join));
  result_.decisions.push_back({unit.name, "window", "", 0, {}});
  return true;
}

bool WindowTable::parts_follow_each_other(const std::vector<int>& parts, const Layout& whole, std::size_t axis) const {
  std::int64_t offset = at(parts.front()).offset;
  for (const int part : parts) {
    const LoweredTensor& t = at(part);
    const Layout wanted{t.layout.shape, whole.strides, {}};
    if (result_.root(part) != result_.root(parts.front()) || t.kind != BufferKind::arena || t.offset != offset ||
        t.bytes() == 0 || !wanted.is_row_major() || !t.layout.same_placement(wanted))
      return false;
    offset += t.bytes();
  }
  return axis < whole.strides.size();
}

/// `part` if it lies in that window already, or a copy there.
int WindowTable::in_window(int part, int whole, const Window& window) {
  const LoweredTensor& t = at(part);
  const std::int64_t offset = at(whole).offset + window.offset * static_cast<std::int64_t>(size_of(at(whole).dtype));
  const bool there = result_.root(part) == result_.root(whole) && t.offset == offset;
  if (t.bytes() == 0 || (there && t.layout.same_placement(window.layout))) return part;
  const KernelAnswer answer = oracle_.ask(reorder_body(t.dtype, t.layout, window.layout));
  if (!answer.offer) throw InternalError(fmt::format("no copy from {} to {}", t.layout.str(), window.layout.str()));
  const std::string name = t.name;  // adding a tensor moves all of them
  const int to = window_in(whole, window, name + " (in place)");
  add_kernel("copy " + name, {}, {part}, {to}, *answer.offer);
  return to;
}

int WindowTable::tensor_in_place(ValueId v) {
  const auto place = windows_ ? windows_->place_of(v) : std::nullopt;
  return place ? window_in(tensor_of_whole(place->whole), place->window, name_of_value(v)) : -1;
}

}  // namespace weft::lowering
