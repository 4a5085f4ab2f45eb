// Comparing initializers by what is stored.
#include "graph/onnx/copies.hpp"

#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>

#include "graph/onnx/stored_bytes.hpp"
#include "weft/hash.hpp"

namespace weft::onnx {
namespace {

/// One number throughout: fresh biases and scales, which are equal, but no copies.
bool is_uniform(const StoredBytes& bytes) { return bytes.size() < 8 || bytes.repeats_one_number(); }

bool is_generated(const std::string& name) { return name.starts_with("onnx::"); }

bool is_transpose(const StoredBytes& stored_of, const StoredBytes& stored, const Dims& extents) {
  const auto rows = static_cast<std::size_t>(extents[0]), columns = static_cast<std::size_t>(extents[1]);
  const auto size = static_cast<std::size_t>(stored.size());
  if (rows > size || columns > size || size % (rows * columns) != 0) return false;
  const std::size_t width = size / (rows * columns);
  const std::string of = stored_of.part(0, stored_of.size()), bytes = stored.part(0, stored.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      if (std::memcmp(bytes.data() + (r * columns + c) * width, of.data() + (c * rows + r) * width, width) != 0)
        return false;
  return true;
}

/// Whether `copy` holds `original`'s elements, as they are or (a matrix) turned; `transposed` says which.
bool holds_the_same(const pb::TensorProto& original, const pb::TensorProto& copy, const DataPlaces& places,
                    bool* transposed) {
  const StoredBytes from(original, places), to(copy, places);
  if (original.data_type() != copy.data_type() || from.size() == 0 || from.size() != to.size()) return false;
  const Dims a(original.dims().begin(), original.dims().end()), b(copy.dims().begin(), copy.dims().end());
  *transposed = false;
  if (a == b) return from == to;
  *transposed = true;
  if (a.size() != 2 || b.size() != 2 || a[0] != b[1] || a[1] != b[0] || a[0] < 1 || a[1] < 1) return false;
  return is_transpose(from, to, b);
}

}  // namespace

void find_copies(std::vector<InitializerVerdict>& verdicts, const ModelContents& contents) {
  const auto& initializers = contents.proto.graph().initializer();
  // Most tensors differ in their first bytes: only those that do not are read whole.
  std::map<std::tuple<std::string, Dims, std::uint64_t>, std::vector<int>> alike;
  for (int i = 0; i < initializers.size(); ++i) {
    const InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(i)];
    if (verdict.kind != InitializerKind::parameter || !verdict.tied_to.empty()) continue;
    const StoredBytes bytes(initializers[i], contents.places);
    if (!is_uniform(bytes)) alike[{verdict.type, verdict.extents, hash64(bytes.beginning())}].push_back(i);
  }
  for (const auto& [type, members] : alike) {
    if (members.size() < 2) continue;
    std::unordered_map<std::uint64_t, int> first;
    for (const int i : members) {
      const StoredBytes bytes(initializers[i], contents.places);
      const auto [at, fresh] = first.emplace(bytes.hash(), i);
      if (!fresh && bytes == StoredBytes(initializers[at->second], contents.places))
        verdicts[static_cast<std::size_t>(i)].copy_of = verdicts[static_cast<std::size_t>(at->second)].name;
    }
  }
}

void find_ties(std::vector<InitializerVerdict>& verdicts, const ModelContents& contents,
               const std::unordered_map<std::string, ExporterNote>& notes) {
  const pb::GraphProto& graph = contents.proto.graph();
  std::unordered_map<std::string, int> index;
  for (int i = 0; i < graph.initializer_size(); ++i) index[graph.initializer(i).name()] = i;
  const auto tie = [&](int copy, int original) {
    InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(copy)];
    const InitializerVerdict& other = verdicts[static_cast<std::size_t>(original)];
    if (copy == original || other.kind != InitializerKind::parameter || !other.tied_to.empty()) return false;
    if (!holds_the_same(graph.initializer(original), graph.initializer(copy), contents.places, &verdict.transposed))
      return false;
    verdict.tied_to = other.name;
    return true;
  };
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const InitializerVerdict& verdict = verdicts[static_cast<std::size_t>(i)];
    if (verdict.kind != InitializerKind::parameter) continue;
    if (const auto note = notes.find(verdict.name); note != notes.end() && note->second.folded_from.size() == 1) {
      if (const auto found = index.find(note->second.folded_from.front()); found != index.end()) tie(i, found->second);
    } else if (is_generated(verdict.name) && !is_uniform(StoredBytes(graph.initializer(i), contents.places))) {
      // No note, but a name that the older exporter gives what it computed.
      for (int other = 0; other < graph.initializer_size(); ++other)
        if (!is_generated(graph.initializer(other).name()) && tie(i, other)) break;
    }
  }
}

}  // namespace weft::onnx
