// Which array of which file each input of a model reads.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/onnx/import.hpp"
#include "src/predict/array_file.hpp"

namespace weft {

/// "F", or "NAME=F": everything, or one input or output, from or to file F.
struct NamedFile {
  std::string name;  ///< empty: whatever has no file of its own
  std::string path;
};
/// `kind` is "input" or "output". Throws UserError for a NAME that the model does not have, a name given twice, and
/// more than one file without a name.
std::vector<NamedFile> named_files(const std::vector<std::string>& given, const std::vector<std::string>& names,
                                   const std::string& kind, const std::string& model);

struct ModelInput {
  onnx::DeclaredInput declared;
  ArrayFile* file = nullptr;
  std::size_t array = 0;

  const ArrayInfo& info() const { return file->arrays()[array]; }
};

/// Opened files, and the model's inputs among them. An input reads the array that `mapped` says, or that has its name,
/// or the only one of its file, or the only one whose dimensions fit. Throws UserError naming the input, what the file
/// has, and what to do.
class ModelInputs {
 public:
  ModelInputs(const onnx::ModelFile& model, const std::vector<NamedFile>& files,
              const std::map<std::string, std::string>& mapped);
  const std::vector<ModelInput>& inputs() const { return inputs_; }

 private:
  ArrayFile& open(const std::string& path);

  std::vector<std::unique_ptr<ArrayFile>> files_;
  std::vector<ModelInput> inputs_;
};

}  // namespace weft
