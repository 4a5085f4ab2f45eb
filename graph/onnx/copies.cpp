// Comparing initializers by what is stored.
#include "graph/onnx/copies.hpp"

#include <cstring>
#include <map>
#include <string_view>
#include <unordered_map>

namespace weft::onnx {
namespace {

/// The bytes that hold a tensor's elements, as stored; "" where they are in another file.
std::string_view stored_bytes(const pb::TensorProto& tensor) {
  if (tensor.has_raw_data()) return tensor.raw_data();
  if (tensor.float_data_size() > 0)
    return {reinterpret_cast<const char*>(tensor.float_data().data()),
            sizeof(float) * static_cast<std::size_t>(tensor.float_data_size())};
  return {};
}

/// One number throughout: fresh biases and scales, which are equal, but no copies.
bool is_uniform(std::string_view bytes) {
  return bytes.size() < 8 || bytes.substr(4) == bytes.substr(0, bytes.size() - 4);
}

bool is_generated(const std::string& name) { return name.starts_with("onnx::"); }

bool is_transpose(std::string_view of, std::string_view bytes, const Dims& extents) {
  const auto rows = static_cast<std::size_t>(extents[0]), columns = static_cast<std::size_t>(extents[1]);
  if (rows > bytes.size() || columns > bytes.size() || bytes.size() % (rows * columns) != 0) return false;
  const std::size_t width = bytes.size() / (rows * columns);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      if (std::memcmp(bytes.data() + (r * columns + c) * width, of.data() + (c * rows + r) * width, width) != 0)
        return false;
  return true;
}

/// Whether `copy` holds `original`'s elements, as they are or (a matrix) turned; `transposed` says which.
bool holds_the_same(const pb::TensorProto& original, const pb::TensorProto& copy, bool* transposed) {
  const std::string_view from = stored_bytes(original), to = stored_bytes(copy);
  if (original.data_type() != copy.data_type() || from.empty() || from.size() != to.size()) return false;
  const Dims a(original.dims().begin(), original.dims().end()), b(copy.dims().begin(), copy.dims().end());
  *transposed = false;
  if (a == b) return from == to;
  *transposed = true;
  if (a.size() != 2 || b.size() != 2 || a[0] != b[1] || a[1] != b[0] || a[0] < 1 || a[1] < 1) return false;
  return is_transpose(from, to, b);
}

}  // namespace

void find_copies(std::vector<InitializerVerdict>& verdicts, const pb::GraphProto& graph) {
  std::map<std::pair<std::string, Dims>, std::unordered_map<std::string_view, int>> by_type;
  for (int i = 0; i < graph.initializer_size(); ++i) {
    InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(i)];
    const std::string_view bytes = stored_bytes(graph.initializer(i));
    if (verdict.kind != InitializerKind::parameter || is_uniform(bytes) || !verdict.tied_to.empty()) continue;
    const auto [first, fresh] = by_type[{verdict.type, verdict.extents}].emplace(bytes, i);
    if (!fresh) verdict.copy_of = verdicts[static_cast<std::size_t>(first->second)].name;
  }
}

void find_ties(std::vector<InitializerVerdict>& verdicts, const pb::GraphProto& graph,
               const std::unordered_map<std::string, ExporterNote>& notes) {
  std::unordered_map<std::string, int> index;
  for (int i = 0; i < graph.initializer_size(); ++i) index[graph.initializer(i).name()] = i;
  const auto tie = [&](int copy, int original) {
    InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(copy)];
    const InitializerVerdict& other = verdicts[static_cast<std::size_t>(original)];
    if (copy == original || other.kind != InitializerKind::parameter || !other.tied_to.empty()) return false;
    if (!holds_the_same(graph.initializer(original), graph.initializer(copy), &verdict.transposed)) return false;
    verdict.tied_to = other.name;
    return true;
  };
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(i)];
    if (verdict.kind != InitializerKind::parameter) continue;
    if (const auto note = notes.find(verdict.name); note != notes.end() && note->second.folded_from.size() == 1) {
      if (const auto found = index.find(note->second.folded_from.front()); found != index.end()) tie(i, found->second);
    } else if (is_generated(verdict.name) && !is_uniform(stored_bytes(graph.initializer(i)))) {
      // No note, but a name that the older exporter gives what it computed.
      for (int other = 0; other < graph.initializer_size(); ++other)
        if (!is_generated(graph.initializer(other).name()) && tie(i, other)) break;
    }
  }
}

}  // namespace weft::onnx
