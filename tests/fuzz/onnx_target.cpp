// The importer's whole surface, from bytes to a verified graph.
#include "tests/fuzz/onnx_target.hpp"

#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_file.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

constexpr std::int64_t kExtent = 2;

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

}  // namespace

std::string import_bytes(std::span<const std::byte> bytes) {
  try {
    const onnx::ModelFile file = onnx::parse_model(bytes, "model");
    static_cast<void>(onnx::to_text(onnx::describe_model(file)));
    onnx::ImportOptions options;
    for (const std::string& symbol : onnx::symbolic_dimensions(file)) options.symbols[symbol] = kExtent;
    for (const std::string& name : onnx::required_constants(file, options))
      options.constants[name] = small_numbers(file, name);
    onnx::import_model(file, options).forward.verify();
  } catch (const UserError& e) {
    return e.what();
  }
  return {};
}

}  // namespace weft::fuzz
