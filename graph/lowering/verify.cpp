// Checks of units, tensors and schedules.
#include "graph/lowering/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "graph/ir/passes/verify.hpp"
#include "graph/lowering/schedule.hpp"
#include "graph/lowering/windows.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

void require(bool holds, const std::string& unit, const char* what) {
  if (!holds) throw InternalError(fmt::format("lowering: unit '{}' {}", unit, what));
}

void verify_body(const Graph& graph, const Unit& unit) {
  verify_graph(unit.body);
  const auto& inputs = unit.body.inputs();
  const auto& outputs = unit.body.outputs();
  require(inputs.size() == unit.inputs.size() && outputs.size() == unit.outputs.size(), unit.name,
          "has another number of operands than its body");
  for (std::size_t i = 0; i < inputs.size(); ++i)
    require(unit.body.type(inputs[i].value) == graph.type(unit.inputs[i]), unit.name, "reads another type");
  for (std::size_t i = 0; i < outputs.size(); ++i)
    require(unit.body.type(outputs[i].value) == graph.type(unit.outputs[i]), unit.name, "makes another type");
}

void verify_operands(const LoweredGraph& graph, const LoweredUnit& unit) {
  const auto check = [&](int t, const Graph& body, ValueId v) {
    const LoweredTensor& tensor = graph.tensor(t);
    require(body.type(v) == TensorType{tensor.dtype, tensor.layout.shape}, unit.name, "has an operand of another type");
    require(body.layout(v).same_placement(tensor.layout), unit.name, "has an operand in another layout");
  };
  const Graph& body = unit.spec.body;
  require(body.inputs().size() == unit.inputs.size() && body.outputs().size() == unit.outputs.size(), unit.name,
          "has another number of operands than its kernel");
  for (std::size_t i = 0; i < unit.inputs.size(); ++i) check(unit.inputs[i], body, body.inputs()[i].value);
  for (std::size_t i = 0; i < unit.outputs.size(); ++i) check(unit.outputs[i], body, body.outputs()[i].value);
}

/// Which tensor's contents are where, while the steps run.
class Memory {
 public:
  explicit Memory(const LoweredGraph& graph) : graph_(graph), written_(graph.tensors.size()) {
    for (const LoweredUnit& unit : graph.units)
      if (unit.kind == UnitKind::view) parts_[unit.outputs.at(0)] = &unit.inputs;
  }

  bool holds(int tensor) const {
    if (graph_.tensor(tensor).bytes() == 0) return true;
    const int root = graph_.root(tensor), origin = graph_.origin(tensor);
    if (const auto parts = parts_.find(origin); parts != parts_.end())
      return std::all_of(parts->second->begin(), parts->second->end(), [&](int part) { return holds(part); });
    const auto& written = written_[index(root)];
    if (written.count(origin)) return true;
    return written.empty() && graph_.tensor(root).kind != BufferKind::arena;
  }

  void write(int tensor) {
    if (graph_.tensor(tensor).bytes() == 0) return;
    auto& written = written_[index(graph_.root(tensor))];
    std::erase_if(written, [&](int other) { return !apart(other, tensor); });
    written.insert(tensor);
  }

 private:
  bool apart(int a, int b) const {
    const LoweredTensor &x = graph_.tensor(a), &y = graph_.tensor(b);
    const auto size = static_cast<std::int64_t>(size_of(x.dtype));
    if (size_of(y.dtype) == size_of(x.dtype) && x.offset % size == 0 && y.offset % size == 0)
      return are_apart({x.layout, x.offset / size}, {y.layout, y.offset / size});
    return x.offset + x.bytes() <= y.offset || y.offset + y.bytes() <= x.offset;
  }

  const LoweredGraph& graph_;
  std::map<int, const std::vector<int>*> parts_;  ///< of what views consist of
  std::vector<std::set<int>> written_;            ///< per root: tensors whose contents are there
};

class ScheduleCheck {
 public:
  explicit ScheduleCheck(const LoweredGraph& graph) : graph_(graph), memory_(graph), runs_(graph.units.size(), 0) {}

  void run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      switch (step.kind) {
        case Step::Kind::run: start(step.unit); break;
        case Step::Kind::wait: finish(step.unit); break;
        case Step::Kind::copy_state: copy(step.update); break;
      }
    }
    for (std::size_t u = 0; u < runs_.size(); ++u)
      require(runs_[u] == 1, graph_.units[u].name, "does not run exactly once");
    require(sent_.empty() && received_.empty(), "collective", "is not waited for");
  }

 private:
  /// What a collective in flight reads may be read, and nothing else be done to what it uses.
  void touch(const LoweredUnit& unit, int tensor, bool writes) const {
    const int root = graph_.root(tensor);
    require(!received_.count(root) && !(writes && sent_.count(root)), unit.name,
            "touches memory that a collective is using");
  }

  void start(int u) {
    const LoweredUnit& unit = graph_.unit(u);
    ++runs_[index(u)];
    for (const int t : unit.inputs) {
      touch(unit, t, false);
      require(memory_.holds(t), unit.name, "reads what is not there (any more)");
    }
    for (const int t : unit.outputs) touch(unit, t, true);
    if (unit.kind == UnitKind::collective) {
      for (const int t : unit.inputs) sent_.insert(graph_.root(t));
      for (const int t : unit.outputs) received_.insert(graph_.root(t));
      return;
    }
    if (unit.kind == UnitKind::view) return;
    for (const int t : unit.outputs) memory_.write(t);
  }

  void finish(int u) {
    const LoweredUnit& unit = graph_.unit(u);
    for (const int t : unit.inputs) sent_.erase(sent_.find(graph_.root(t)));
    for (const int t : unit.outputs) {
      received_.erase(graph_.root(t));
      memory_.write(t);
    }
  }

  void copy(int update) {
    const auto& [name, t] = graph_.state_updates[index(update)];
    require(memory_.holds(t), "update of " + name, "copies what is not there (any more)");
  }

  const LoweredGraph& graph_;
  Memory memory_;
  std::vector<int> runs_;
  std::multiset<int> sent_;  ///< roots that collectives in flight read
  std::set<int> received_;   ///< and those that they write
};

}  // namespace

void verify_units(const Graph& graph, const std::vector<Unit>& units) {
  std::vector<char> made(graph.values().size(), 0);
  for (const GraphInput& i : graph.inputs()) made[index(i.value)] = 1;
  for (const Node& node : graph.nodes())
    if (node.op == Op::constant) made[index(node.outputs[0])] = 1;
  for (const Unit& unit : units) {
    require(!unit.nodes.empty() && unit.nodes.front() >= 0 && index(unit.nodes.back()) < graph.nodes().size(),
            unit.name, "names no node of the graph");
    for (const ValueId v : unit.outputs) {
      require(!made[index(v)], unit.name, "makes what another unit makes");
      made[index(v)] = 1;
    }
    if (unit.kind == UnitKind::kernel) verify_body(graph, unit);
  }
  for (const Unit& unit : units)
    for (const ValueId v : unit.inputs) require(made[index(v)], unit.name, "reads what no unit makes");
}

void verify_tensors(const LoweredGraph& graph) {
  for (const LoweredTensor& t : graph.tensors) {
    const LoweredTensor& root = t.storage >= 0 ? graph.tensor(t.storage) : t;
    require(root.storage < 0 && t.offset >= 0 && t.offset + t.bytes() <= root.bytes(), t.name,
            "is a tensor outside its memory");
  }
  std::vector<char> made(graph.tensors.size(), 0);
  for (const LoweredUnit& unit : graph.units) {
    for (const int t : unit.outputs) {
      require(!made[index(t)] && graph.tensor(t).view_of < 0, unit.name, "makes what exists already");
      made[index(t)] = 1;
    }
    if (unit.kind == UnitKind::kernel) verify_operands(graph, unit);
  }
  for (const LoweredUnit& unit : graph.units)
    for (const int t : unit.inputs) {
      const int origin = graph.origin(t);
      require(made[index(origin)] || graph.tensor(origin).kind != BufferKind::arena, unit.name,
              "reads what no unit makes");
    }
  schedule_as_written(graph);  // finds cycles
}

void verify_schedule(const LoweredGraph& graph, const std::vector<Step>& steps) { ScheduleCheck(graph).run(steps); }

}  // namespace weft::lowering
