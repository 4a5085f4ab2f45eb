// Every contraction as a batch of matrix products over tables of offsets.
//
// An operand's element (row, column) of batch b lies at batch[b] + row[r] + column[c]: dimensions of any number and
// layout become tables. Convolutions fit too, once the operand that the window slides over holds its padding: output
// position and filter tap each give a term. So that operand may be copied into scratch first, padded, cropped or (for
// the gradient to the input) spread by the strides.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::cpu {

using OffsetTable = std::vector<std::int64_t>;

struct ContractionOperand {
  ValueId value = kNone;
  OffsetTable batch, rows, columns;
};

struct ContractionPlan {
  std::string refusal;         ///< set: nothing else is
  ContractionOperand a, b, c;  ///< c[m][n] = sum over k of a[m][k] * b[k][n]
  /// When not empty: a movement of `a`'s value whose result, in scratch, is what `a` describes.
  Graph prepare;

  std::int64_t batches() const { return static_cast<std::int64_t>(c.batch.size()); }
  std::int64_t m() const { return static_cast<std::int64_t>(c.rows.size()); }
  std::int64_t n() const { return static_cast<std::int64_t>(c.columns.size()); }
  std::int64_t k() const { return static_cast<std::int64_t>(a.columns.size()); }
};

/// Of a body of one contraction whose layouts are all set.
ContractionPlan plan_contraction(const Graph& body);

}  // namespace weft::cpu
