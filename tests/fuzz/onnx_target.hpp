// What an ONNX file goes through before anything is trusted, as one call on bytes: for the fuzzer and for its corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace weft::fuzz {

/// What became of a model.
struct Imported {
  std::string refusal;               ///< empty: Weft takes it
  std::uint64_t initial_values = 0;  ///< a hash of all that its states begin with
  bool operator==(const Imported&) const = default;
};

/// Parses, describes and imports, and reads what states begin with; symbolic dimensions become 2, inputs whose values
/// decide shapes small numbers. Only a UserError is a refusal: all else is a defect, and passes.
Imported import_bytes(std::span<const std::byte> bytes, const std::string& name = "model");
/// The same from a file, in which raw data of so many bytes are left until they are asked for.
Imported import_path(const std::filesystem::path& path, std::int64_t left_in_file);

}  // namespace weft::fuzz
