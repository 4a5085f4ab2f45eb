// The libFuzzer program of the importer: `cmake --preset fuzz && cmake --build --preset fuzz`, then
//
//     UBSAN_OPTIONS=halt_on_error=1 build/fuzz/tests/fuzz_onnx -rss_limit_mb=2048 -timeout=10 NEW
//     tests/fuzz/corpus/onnx
//
// where NEW is a folder for what it finds. What is worth keeping is merged by `-merge=1 tests/fuzz/corpus/onnx NEW`.
#include <cstdint>

#include "tests/fuzz/onnx_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weft::fuzz::import_bytes({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
