// The families of the import table, and the reasons why some operators are in none.
#include "graph/onnx/ops/table.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace weft::onnx {
namespace {

constexpr const char* kStrings = "works on text, which Weft's tensors do not hold";
constexpr const char* kRandom = "draws random numbers that the model's file does not define";

constexpr std::array<std::pair<std::string_view, const char*>, 12> kWithoutRule = {{
    {"StringNormalizer", kStrings},
    {"StringConcat", kStrings},
    {"StringSplit", kStrings},
    {"RegexFullMatch", kStrings},
    {"TfIdfVectorizer", kStrings},
    {"RandomUniform", kRandom},
    {"RandomUniformLike", kRandom},
    {"RandomNormal", kRandom},
    {"RandomNormalLike", kRandom},
    {"Bernoulli", kRandom},
    {"Multinomial", kRandom},
    {"ImageDecoder", "decodes image files inside the model; decode them when data is imported"},
}};

std::array<std::span<const OpRow>, 24> families() {
  return {elementwise_rows(), activation_rows(),    shape_rows(),     movement_rows(),    pad_rows(),
          indexing_rows(),    scatter_rows(),       reduction_rows(), contraction_rows(), einsum_rows(),
          pooling_rows(),     normalization_rows(), loss_rows(),      quantize_rows(),    resize_rows(),
          recurrent_rows(),   control_rows(),       sequence_rows(),  attention_rows(),   state_space_rows(),
          grid_rows(),        signal_rows(),        selection_rows(), optimizer_rows()};
}

}  // namespace

std::string_view reason_for_absence(std::string_view name) {
  for (const auto& [absent, reason] : kWithoutRule)
    if (absent == name) return reason;
  return "";
}

const OpRow* find_row(std::string_view domain, std::string_view name, std::int64_t version, std::string* reason) {
  std::int64_t first = 0, last = 0;
  for (const std::span<const OpRow> family : families())
    for (const OpRow& row : family) {
      if (row.name != name || row.domain != domain) continue;
      if (version >= row.first && version <= row.last) return &row;
      if (first == 0 || row.first < first) first = row.first;
      if (row.last > last) last = row.last;
    }
  if (last != 0)
    *reason =
        fmt::format("supported in versions {} to {} of its operator set; the model uses {}", first, last, version);
  else if (const std::string_view why = reason_for_absence(name); domain.empty() && !why.empty())
    *reason = fmt::format("operator is not supported: {}", why);
  else
    *reason = fmt::format("operator is not supported (operator set '{}', version {})",
                          domain.empty() ? "ai.onnx" : domain, version);
  return nullptr;
}

}  // namespace weft::onnx
