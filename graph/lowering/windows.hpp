// Windows: values that lie in the memory of others instead of being copied. A slice is a window of what it is cut from;
// the parts of a concatenation are written where they stand in it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/layout.hpp"

namespace weft::lowering {

/// A part of a tensor: its layout, and its first element's offset in elements.
struct Window {
  Layout layout;
  std::int64_t offset = 0;
};

/// What `node`, a slice, cuts from an operand with `layout`; nullopt where blocks do not allow it.
std::optional<Window> window_of_slice(const Node& node, const Layout& layout);

/// A tensor with `layout` seen under another shape; nullopt where that takes another order of memory.
std::optional<Layout> reshaped(const Layout& layout, const Shape& shape);

/// Whether the windows can be told to share no element. Offsets count from one beginning.
bool are_apart(const Window& a, const Window& b);

/// Which slices and concatenations of a graph shall be windows. A slice keeps the whole of its operand alive: it is one
/// where the operand lives anyway, or where slices together hold most of it and this one is not read long after them. A
/// concatenation's parts are written in place where most of it can be: what convolutions and windowed operators make or
/// read has layouts of its own.
class WindowPlan {
 public:
  WindowPlan(const Graph& graph, const std::vector<Unit>& units);

  bool is_window(const Node& slice) const;
  const std::vector<NodeId>& users(ValueId value) const { return users_[index(value)]; }

  /// The concatenation that `value` is written into, and where in a row-major result of it.
  struct Place {
    ValueId whole = kNone;
    Window window;
  };
  std::optional<Place> place_of(ValueId value) const;
  /// Whether some parts of the concatenation `whole` have such places.
  bool is_planned(ValueId whole) const { return planned_.count(whole) != 0; }

 private:
  NodeId last_reader(ValueId value) const;
  void survey_slices();
  void plan(const Node& concat);
  bool can_be_written_in_place(ValueId part) const;

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<char> made_anywhere_;  ///< per value: by a kernel that can write it with any strides
  std::vector<char> is_output_;      ///< per value
  struct Sliced {
    std::int64_t elements = 0;  ///< in all slices
    NodeId first = 0;           ///< the first reader of any
    NodeId most_done = 0;       ///< the reader after which slices that hold most of `elements` are read no more
  };
  std::map<ValueId, Sliced> sliced_;
  std::map<ValueId, Place> places_;
  std::map<ValueId, int> planned_;  ///< concatenations -> parts in place
};

}  // namespace weft::lowering
