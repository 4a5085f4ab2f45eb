// What an ONNX file goes through before anything is trusted, as one call on bytes: for the fuzzer and for its corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace weft::fuzz {

/// Parses, describes and imports; symbolic dimensions become 2, inputs whose values decide shapes small numbers.
/// Returns the refusal, or "" for a model that Weft takes. Only a UserError is a refusal: all else is a defect, and
/// passes.
std::string import_bytes(std::span<const std::byte> bytes);
/// The same from a file, in which raw data of so many bytes are left until they are asked for.
std::string import_path(const std::filesystem::path& path, std::int64_t left_in_file);

}  // namespace weft::fuzz
