// Units: what lowering works on between the step graph and the Program.
//
// `fuse` cuts the graph into units (candidate kernels, reshapes that are only views, collectives). `assign_layouts`
// turns values into tensors with layouts, inserting reorders. Scheduling orders units, memory planning places tensors,
// and `emit` writes the Program. Each stage is a pure function of the stage before and the kernel oracle.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/kernel.hpp"
#include "weft/program.hpp"

namespace weft::lowering {

/// An id of a value, node, group or unit as an index of a table.
inline std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }

enum class UnitKind : std::uint8_t { kernel, view, collective };

/// Operators whose result lies in their first operand's memory, where layouts allow it.
inline bool is_view(Op op) { return op == Op::reshape || op == Op::stop_gradient || op == Op::after; }

/// Some nodes of the step graph that become one instruction. Operands are values of the step graph.
struct Unit {
  UnitKind kind = UnitKind::kernel;
  std::vector<NodeId> nodes;     ///< ascending
  std::vector<ValueId> inputs;   ///< each once, in the order of the body's inputs
  std::vector<ValueId> outputs;  ///< in the order of the body's outputs
  Graph body;                    ///< kernel only
  std::string name;
  bool late = false;  ///< could run long before its readers, and shall not: its result is memory (rematerialise.hpp)
};

/// Why a kernel was chosen and who refused, for `weft compile --explain`; or that there is none, for a value lies in
/// another's memory: implementation "window", without a key.
struct Decision {
  std::string unit;
  std::string implementation;
  std::string key;  ///< KernelSpec::key of what it offered
  double seconds = 0;
  std::vector<KernelRefusal> refusals;
};

/// A tensor in memory.
struct LoweredTensor {
  std::string name;
  BufferKind kind = BufferKind::arena;
  DType dtype = DType::f32;
  Layout layout;
  std::optional<Tensor> literal;  ///< constants
  int view_of = -1;               ///< the tensor whose contents these are under another shape, or -1
  int storage = -1;               ///< the tensor whose memory this one is a window of, or -1: its own
  std::int64_t offset = 0;        ///< bytes into `storage`

  std::int64_t bytes() const { return layout.bytes(dtype); }
};

/// A unit whose operands are tensors. A view runs nothing: its operands, all written, are what its result consists of.
struct LoweredUnit {
  UnitKind kind = UnitKind::kernel;
  std::string name;
  std::vector<std::string> sources;
  std::vector<int> inputs, outputs;  ///< indices of tensors
  std::vector<int> waits_for;        ///< tensors that must be there before it runs, though it does not read them
  KernelSpec spec;                   ///< kernel only
  double seconds = 0;
  CollectiveSpec collective;  ///< collective only
  std::string key;            ///< KernelSpec::key, where it is known already
  int rank = 0;               ///< position in the step graph: the scheduler's tie-break
  bool late = false;          ///< runs when a reader waits for nothing else
};

struct LoweredGraph {
  std::vector<LoweredTensor> tensors;
  std::vector<LoweredUnit> units;
  /// State name -> tensor that holds its next value; written in place where the schedule allows.
  std::vector<std::pair<std::string, int>> state_updates;
  /// Fetch name -> tensor.
  std::vector<std::pair<std::string, int>> fetches;
  std::vector<Decision> decisions;
  /// Pairs of units of which the first must run before the second, beyond what data asks for.
  std::vector<std::pair<int, int>> order;

  LoweredTensor& tensor(int t) { return tensors.at(static_cast<std::size_t>(t)); }
  const LoweredTensor& tensor(int t) const { return tensors.at(static_cast<std::size_t>(t)); }
  LoweredUnit& unit(int u) { return units.at(static_cast<std::size_t>(u)); }
  const LoweredUnit& unit(int u) const { return units.at(static_cast<std::size_t>(u)); }
  /// The tensor that owns `t`'s memory.
  int root(int t) const { return tensor(t).storage >= 0 ? tensor(t).storage : t; }
  /// The tensor that a unit (or nobody, for inputs) wrote to give `t` its contents.
  int origin(int t) const {
    while (tensor(t).view_of >= 0) t = tensor(t).view_of;
    return t;
  }
};

/// One step of a schedule.
struct Step {
  enum class Kind : std::uint8_t { run, wait, copy_state } kind = Kind::run;
  int unit = -1;    ///< run: kernel or collective start; wait: the collective
  int update = -1;  ///< copy_state: index into LoweredGraph::state_updates
};

}  // namespace weft::lowering
