// Inference: a model's outputs for the samples of a file, computed in passes over compiled Programs.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"
#include "src/predict/array_file.hpp"
#include "weft/device.hpp"
#include "weft/job.hpp"

namespace weft {

struct PredictRequest {
  std::string model;
  std::vector<std::string> inputs, outputs;   ///< "F" or "NAME=F" (NamedFile)
  std::map<std::string, std::string> mapped;  ///< input -> array, where names differ
  DataSpec data;                              ///< how stored images are scaled, normalised and cropped
  std::int64_t batch = 0;                     ///< samples a pass; 0: 128, or what the model fixes
  std::vector<std::string> without;           ///< compiler passes to leave out
};

/// References outlive the call.
struct PredictServices {
  Device& device;
  FileSystem& files;
  std::ostream* progress = nullptr;  ///< nullptr: silent
};

struct PredictResult {
  struct Source {
    std::string input, file, array;
  };
  struct Output {
    std::string file;
    ArrayInfo array;
  };
  std::int64_t samples = 0;  ///< 0: the inputs are not samples, and went through in one pass
  std::int64_t passes = 0;
  double seconds = 0;  ///< of the passes, reading and writing included
  std::vector<Source> sources;
  std::vector<Output> outputs;
};

/// The first dimension of every input and output is the samples. Where the model fixes every extent to what the files
/// hold, or the inputs' first extents differ, everything goes through in one pass as it is. Each output file appears
/// whole or not at all. Throws UserError for files and models that do not fit (naming input, array, shapes and what to
/// do), for models with control flow, and for unknown extensions; SystemError where files fail.
PredictResult predict(const PredictRequest& request, const PredictServices& services);

}  // namespace weft
