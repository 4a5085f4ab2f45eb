// Import: other formats turned into a file of training data (`weft data import`).
//
// The kind is found from the source: IDX by its first bytes (through gzip). Sources are untrusted:
// every size is bounded before it is used, and a failed import leaves nothing behind.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/data/data_file.hpp"

namespace weft {

enum class ImportKind : std::uint8_t { automatic, idx };

/// `done` of `total` samples, or bytes for text: for a progress bar. May throw to stop the import.
using ImportProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct ImportRequest {
  std::string source;  ///< file or folder
  std::string output;  ///< HDF5 file to write; replaced if it exists
  ImportKind kind = ImportKind::automatic;
  std::vector<std::string> class_names;  ///< of integer labels, in order; images and CSV name their classes themselves

  std::string labels;  ///< idx: the labels' file; empty: found beside the images by name

  ImportProgress progress;
};

struct ImportResult {
  ImportKind kind = ImportKind::idx;
  DataDescription description;  ///< of the file written
};

/// UserError for a source that is malformed or of no known kind, SystemError for files that cannot be read or written.
ImportResult import_data(const ImportRequest& request);

/// "train-images-idx3-ubyte.gz (IDX)": what a written file says it came from; no folders, so that it is the same
/// wherever it was made.
std::string source_name(const ImportRequest& request, const std::string& format);

/// IDX (the MNIST format): images [N, H, W] become `images` [N, 1, H, W]; `labels` [N] beside them.
void import_idx(const ImportRequest& request);
}  // namespace weft
