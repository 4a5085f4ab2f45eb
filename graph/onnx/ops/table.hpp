// The import table: ONNX operator and opset range to the rule that imports it.
//
// To add an operator: write its rule in the file of its family and put a row into the family's list there. A new family
// is a new file, whose list table.cpp names. Nothing registers itself.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/onnx/op_context.hpp"

namespace weft::onnx {

/// The newest version of the standard operator set that the rules follow.
inline constexpr std::int64_t kNewestOpset = 28;

/// Appends the node's meaning and returns its results in order (fewer, or kNone, where one is not supported).
/// Throws Unsupported with the reason.
using ImportRule = std::vector<ValueId> (*)(OpContext& c);

struct OpRow {
  std::string_view name;
  ImportRule rule;
  std::int64_t first = 1, last = kNewestOpset;  ///< versions of the operator set for which the rule holds
  std::string_view domain = "";
  bool sequences = false;  ///< operands may be sequences or absent optionals
};

std::span<const OpRow> elementwise_rows();
std::span<const OpRow> activation_rows();
std::span<const OpRow> shape_rows();
std::span<const OpRow> movement_rows();
std::span<const OpRow> pad_rows();
std::span<const OpRow> indexing_rows();
std::span<const OpRow> scatter_rows();
std::span<const OpRow> reduction_rows();
std::span<const OpRow> contraction_rows();
std::span<const OpRow> einsum_rows();
std::span<const OpRow> pooling_rows();
std::span<const OpRow> normalization_rows();
std::span<const OpRow> loss_rows();
std::span<const OpRow> quantize_rows();
std::span<const OpRow> resize_rows();
std::span<const OpRow> recurrent_rows();
std::span<const OpRow> control_rows();
std::span<const OpRow> sequence_rows();
std::span<const OpRow> attention_rows();
std::span<const OpRow> state_space_rows();
std::span<const OpRow> grid_rows();
std::span<const OpRow> signal_rows();
std::span<const OpRow> selection_rows();
std::span<const OpRow> optimizer_rows();

/// nullptr, with `reason` set, when the operator or its version is not supported.
const OpRow* find_row(std::string_view domain, std::string_view name, std::int64_t version, std::string* reason);

/// Why a well-known operator has no rule; "" for those of which nothing is known.
std::string_view reason_for_absence(std::string_view name);

}  // namespace weft::onnx
