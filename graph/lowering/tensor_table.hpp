// The tensors and units that the layout pass makes of a graph's values, one after the other.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/lowering/units.hpp"
#include "graph/lowering/windows.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

class TensorTable {
 public:
  TensorTable(const Graph& graph, const KernelOracle& oracle)
      : graph_(graph), oracle_(oracle), tensor_of_(graph.values().size(), -1) {}

 protected:
  const LoweredTensor& at(int tensor) const { return result_.tensors[index(tensor)]; }
  int add_tensor(std::string name, BufferKind kind, DType type, Layout layout);
  /// The tensor of a value; constants become tensors when they are first read from memory.
  int tensor_for(ValueId v);
  /// `from`, or a copy of it in that layout: one for all who ask.
  int in_layout(int from, const Layout& layout);
  /// A copy of `from` in another, or the same, layout.
  int reordered(int from, const Layout& layout);
  void add_kernel(std::string name, std::vector<std::string> sources, std::vector<int> inputs, std::vector<int> outputs,
                  const KernelOffer& offer);
  std::string name_of_value(ValueId v) const;

  const Graph& graph_;
  const KernelOracle& oracle_;
  std::vector<int> tensor_of_;  ///< per value
  LoweredGraph result_;
  int rank_ = 0;  ///< of the units that are being added

 private:
  std::map<int, std::vector<int>> reorders_;  ///< copies of a tensor in other layouts
};

/// Puts values into the memory of others as a WindowPlan says; without a plan nothing is a window.
class WindowTable : public TensorTable {
 public:
  using TensorTable::TensorTable;

 protected:
  void plan_windows(const std::vector<Unit>& units) { windows_.emplace(graph_, units); }
  const std::optional<WindowPlan>& windows() const { return windows_; }

  /// Changes `offer` such that results which are parts of a concatenation lie where they belong; false where the device
  /// does not take that, or chose an order of its own.
  bool write_in_place(const Unit& unit, KernelOffer& offer) const;
  /// A new tensor in the place that the plan has for `v`; -1 where it has none.
  int tensor_in_place(ValueId v);
  /// The slice as a window of its operand; false where it is to be copied, or `unit` is none.
  bool place_slice(const Unit& unit);
  /// A concatenation whose parts lie in place, or, for other reasons, one after the other: nothing is left to run.
  bool place_concat(const Unit& unit);

 private:
  int window_in(int whole, const Window& window, std::string name);
  int tensor_of_whole(ValueId whole);
  bool parts_follow_each_other(const std::vector<int>& parts, const Layout& whole, std::size_t axis) const;
  int in_window(int part, int whole, const Window& window);

  std::optional<WindowPlan> windows_;
  std::map<ValueId, int> wholes_;  ///< tensors of planned concatenations
};

}  // namespace weft::lowering
