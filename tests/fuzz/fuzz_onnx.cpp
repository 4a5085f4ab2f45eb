// The libFuzzer program of the importer: `cmake --preset fuzz && cmake --build --preset fuzz`, then
//
//     UBSAN_OPTIONS=halt_on_error=1 build/fuzz/tests/fuzz_onnx -rss_limit_mb=2048 -timeout=10 NEW
//     tests/fuzz/corpus/onnx
//
// where NEW is a folder for what it finds. What is worth keeping is merged by `-merge=1 tests/fuzz/corpus/onnx NEW`.
//
// Every model is imported twice: from memory, and from a file in which tensors are left until they are read. Both must
// come to the same.
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "tests/fuzz/onnx_target.hpp"
#include "weft/error.hpp"

namespace {

/// A file of this process, which libFuzzer may run several of.
class ModelOnDisk {
 public:
  ModelOnDisk() : path_(std::filesystem::temp_directory_path() / ("fuzz_onnx." + std::to_string(getpid()))) {}
  ~ModelOnDisk() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  void write(std::span<const std::byte> bytes) const {
    std::ofstream out(path_, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    weft::check_internal(static_cast<bool>(out.flush()), "the fuzzer's own file cannot be written");
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ModelOnDisk file;
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  file.write(bytes);
  weft::check_internal(weft::fuzz::import_path(file.path(), 1) == weft::fuzz::import_bytes(bytes, file.path().string()),
                       "a model is not the same from memory and from its file");
  return 0;
}
