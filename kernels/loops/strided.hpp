// Strided views: values that are windows of a kernel's operands or results, for templates that read and write in place
// what a graph slices, transposes, reshapes and concatenates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::loops {

/// Element [i...] of a value is element `offset` + sum of i * strides of a launch's argument.
struct StridedView {
  int argument = -1;
  std::int64_t offset = 0;
  Dims strides;
};

/// `strides` of `from` seen as `to`; nullopt where no strides do that.
std::optional<Dims> reshaped_strides(const Shape& from, const Dims& strides, const Shape& to);

/// A body of one node that computes, around which everything only moves: how its operands lie in the body's inputs,
/// and its results in the body's outputs.
struct StridedBody {
  std::string refusal;         ///< not empty: it is no such body
  Graph body;                  ///< with a layout on every input and output: row-major where it was free
  const Node* node = nullptr;  ///< in `body`
  std::vector<StridedView> operands;
  std::vector<std::optional<StridedView>> results;  ///< nullopt: nobody reads it
};

/// `computes` tells which nodes do.
StridedBody strided_body(const Graph& body, bool (*computes)(Op op));

}  // namespace weft::loops
