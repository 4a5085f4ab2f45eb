// Values of a graph that depend on no input.
#pragma once

#include <map>
#include <optional>

#include "weft/graph.hpp"

namespace weft {

/// Evaluates on demand, and remembers.
class ConstantValues {
 public:
  explicit ConstantValues(const Graph& graph) : graph_(graph) {}

  /// nullopt where `v` depends on an input, on random numbers or on control flow, or is made through much memory.
  const std::optional<Tensor>& value(ValueId v);
  /// The number that every element is; broadcasts are not written out.
  std::optional<double> uniform(ValueId v);

 private:
  std::optional<Tensor> evaluate(ValueId v) const;

  const Graph& graph_;
  std::map<ValueId, std::optional<Tensor>> known_;
};

}  // namespace weft
