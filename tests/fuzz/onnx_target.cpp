// The importer's whole surface, from bytes to a verified graph.
#include "tests/fuzz/onnx_target.hpp"

#include <cstring>
#include <functional>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_file.hpp"
#include "graph/onnx/skeleton.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

constexpr std::int64_t kExtent = 2;
constexpr std::size_t kMostBytesRead = 1 << 24;  ///< of one state; a few bytes may declare many zeros

/// 1, 2, … as an input declares its shape.
Tensor small_numbers(const onnx::ModelFile& file, const std::string& name) {
  Dims extents;
  for (const onnx::DeclaredInput& input : onnx::declared_inputs(file))
    if (input.name == name)
      for (const onnx::DeclaredDimension& d : input.dimensions)
        extents.push_back(d.symbol.empty() ? std::min<std::int64_t>(d.extent, 4) : kExtent);
  if (extents.size() > 3) extents.resize(3);
  Tensor t(DType::i64, Shape(std::move(extents)));
  std::int64_t n = 1;
  for (std::int64_t& v : t.mutable_values<std::int64_t>()) v = n++;
  return t;
}

/// FNV-1a over what all states begin with.
std::uint64_t hash_of_values(const Model& model) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const ModelState& state : model.states) {
    if (state.initial.bytes() > kMostBytesRead) continue;
    const Tensor value = state.initial.value();
    for (std::size_t i = 0; i < value.bytes(); ++i)
      hash = (hash ^ static_cast<std::uint64_t>(value.data()[i])) * 0x100000001b3;
  }
  return hash;
}

Imported import_file(const std::function<onnx::ModelFile()>& load) {
  try {
    const onnx::ModelFile file = load();
    static_cast<void>(onnx::to_text(onnx::describe_model(file)));
    onnx::ImportOptions options;
    for (const std::string& symbol : onnx::symbolic_dimensions(file)) options.symbols[symbol] = kExtent;
    for (const std::string& name : onnx::required_constants(file, options))
      options.constants[name] = small_numbers(file, name);
    const Model model = onnx::import_model(file, options);
    model.forward.verify();
    return {{}, hash_of_values(model)};
  } catch (const UserError& e) {
    return {e.what(), 0};
  }
}

/// The walk that leaves tensors in their file, with nothing but the bytes to read from.
void walk(std::span<const std::byte> bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  const auto read = [&](std::int64_t offset, std::int64_t length, char* to) {
    check_internal(offset >= 0 && length >= 0 && offset <= size - length, "bytes outside of the file are read");
    std::memcpy(to, bytes.data() + offset, static_cast<std::size_t>(length));
  };
  onnx::skeleton_of(size, read, 1);
}

}  // namespace

Imported import_bytes(std::span<const std::byte> bytes, const std::string& name) {
  walk(bytes);
  return import_file([&] { return onnx::parse_model(bytes, name); });
}

Imported import_path(const std::filesystem::path& path, std::int64_t left_in_file) {
  return import_file([&] { return onnx::load_model(path, {.left_in_file = left_in_file}); });
}

}  // namespace weft::fuzz
