// What an ONNX file goes through before anything is trusted, as one call on bytes: for the fuzzer and for its corpus.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace weft::fuzz {

/// Parses, describes and imports; symbolic dimensions become 2, inputs whose values decide shapes small numbers.
/// Returns the refusal, or "" for a model that Weft takes. Only a UserError is a refusal: all else is a defect, and
/// passes.
std::string import_bytes(std::span<const std::byte> bytes);

}  // namespace weft::fuzz
