// ModelFile: an ONNX model, read and checked; the only thing that the rest of Weft sees of a `.onnx` file.
//
// Models are untrusted. `load_model` bounds everything before it uses it: file size, message and subgraph nesting,
// number of nodes, extents against the bytes that are there, and external data to files inside the model's folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>

namespace weft::onnx {

struct ModelContents;  // graph/onnx/proto.hpp: the protobuf messages

/// A checked model; copies share it.
class ModelFile {
 public:
  explicit ModelFile(std::shared_ptr<ModelContents> contents) : contents_(std::move(contents)) {}
  const ModelContents& contents() const { return *contents_; }
  /// Frees what these initializers hold: they are elsewhere now, and memory is worth having while a model trains. All
  /// copies lose them: the model can be exported with new values, not imported again. Values that are read from the
  /// file when asked for, and were imported before, still are; otherwise the file is no longer needed.
  void forget_values(const std::set<std::string>& names);
  /// Content hash of the file's bytes, as they were when it was opened. Throws SystemError when they no longer are.
  std::uint64_t hash() const;
  /// The file, or what stands for it in messages.
  const std::string& path() const;

 private:
  std::shared_ptr<ModelContents> contents_;
};

/// Limits on what a file may hold. The defaults are far above real models and far below what exhausts a machine.
struct ModelLimits {
  std::int64_t file_bytes = (std::int64_t{1} << 31) - 1;  ///< protobuf's own limit
  std::int64_t nodes = 1'000'000;                         ///< all graphs and expanded functions together
  std::int64_t expanded_bytes = std::int64_t{1} << 30;    ///< of functions, once for each call
  int nesting = 16;                                       ///< of subgraphs, and of function calls
  /// Raw data of initializers that stay in the file until somebody asks for them, from this many bytes on.
  std::int64_t left_in_file = 4096;
};

/// Reads and checks; the file stays open, and its large tensors in it. Throws UserError with file, node, reason and
/// remedy when the model is not sound, SystemError when the file cannot be read.
ModelFile load_model(const std::filesystem::path& path, const ModelLimits& limits = {});

/// The same for bytes in memory; `name` stands for the file in messages. External data is refused.
ModelFile parse_model(std::span<const std::byte> bytes, const std::string& name, const ModelLimits& limits = {});

}  // namespace weft::onnx
