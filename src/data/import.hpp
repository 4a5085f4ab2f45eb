// Import: other formats turned into a file of training data (`weft data import`).
//
// The kind is found from the source: a folder of folders is images by class; IDX and .npz are known by their first
// bytes (through gzip); .csv and .tsv by name; other files are text when the request says so. Sources are untrusted:
// every size is bounded before it is used, and a failed import leaves nothing behind.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/data/data_file.hpp"

namespace weft {

enum class ImportKind : std::uint8_t { automatic, idx, npz, csv, images, text };

/// `done` of `total` samples, or bytes for text: for a progress bar. May throw to stop the import.
using ImportProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct ImportRequest {
  std::string source;  ///< file or folder
  std::string output;  ///< HDF5 file to write; replaced if it exists
  ImportKind kind = ImportKind::automatic;
  std::vector<std::string> class_names;  ///< of integer labels, in order; images and CSV name their classes themselves

  std::string labels;  ///< idx: the labels' file; empty: found beside the images by name

  char delimiter = 0;          ///< csv; 0: ',' or, for .tsv, tab
  std::optional<bool> header;  ///< csv; absent: the first line is one if no field of it is a number
  std::string target;          ///< csv: name or number (from 0, -1: last) of the label column; empty: the last; "none"

  std::int64_t height = 0, width = 0;  ///< images: resized to; 0: all must be of one size
  bool grey = false;                   ///< images: one channel instead of three

  std::string vocabulary;              ///< text: a file with one token a line; empty: bytes
  std::int64_t sequence_length = 128;  ///< text: tokens a sample

  ImportProgress progress;
};

struct ImportResult {
  ImportKind kind = ImportKind::idx;
  DataDescription description;  ///< of the file written
};

/// What the source is; `request.kind` where that says so. UserError where it is none.
ImportKind import_kind(const ImportRequest& request);

/// UserError for a source that is malformed or of no known kind, SystemError for files that cannot be read or written.
ImportResult import_data(const ImportRequest& request);

/// "train-images-idx3-ubyte.gz (IDX)": what a written file says it came from; no folders, so that it is the same
/// wherever it was made.
std::string source_name(const ImportRequest& request, const std::string& format);

/// IDX (the MNIST format): images [N, H, W] become `images` [N, 1, H, W]; `labels` [N] beside them.
void import_idx(const ImportRequest& request);
/// Arrays of an .npz archive, each under its own name; all must have as many samples.
void import_npz(const ImportRequest& request);
/// Numeric columns become `features` f32 [N, F]; the target column `labels` (classes, or f32 where it holds reals).
void import_csv(const ImportRequest& request);
/// A folder with one folder of JPEG and PNG files a class: `images` u8 [N, C, H, W] and `labels`.
void import_images(const ImportRequest& request);
/// Text cut into sequences: `tokens` [N, T] and `target` [N, T], the tokens one further on.
void import_text(const ImportRequest& request);

}  // namespace weft
