// weft export: the weights of a checkpoint, back in the user's own ONNX model.
#include "graph/onnx/export.hpp"

#include "fmt/format.h"
#include "src/checkpoint/load.hpp"
#include "src/cli/verbs.hpp"
#include "src/files/output_path.hpp"
#include "src/job/job_file.hpp"

namespace weft::cli {

ExitCode run_export(const Arguments& arguments) {
  Options options("export", "Writes the trained weights of a checkpoint back into the ONNX model that was trained.");
  options.argument("CHECKPOINT", "a checkpoint (HDF5), as in runs/NAME/checkpoints/step-N.h5")
      .required_value("output,o", "F.onnx", "the file to write")
      .value("model", "M.onnx", "the model that was trained; by default where the checkpoint's job has it")
      .example("weft export runs/fashion/checkpoints/step-2345.h5 -o trained.onnx");
  if (!options.parse(arguments)) return ExitCode::ok;
  PosixFileSystem files;
  const auto checkpoint = load_checkpoint(files, options.text("CHECKPOINT"));
  std::filesystem::path model = options.text("model");
  if (model.empty()) {
    const auto job = parse_job(checkpoint.meta.job, options.text("CHECKPOINT") + ": its job", ".");
    model = job_path(job, job.model);
  }
  std::map<std::string, Tensor> trained;
  for (const auto& state : checkpoint.states)
    if (state.role != StateRole::other) trained.emplace(state.name, state.value);
  const auto output = output_path(options.text("output"), {options.text("CHECKPOINT"), model.string()});
  onnx::export_model(onnx::load_model(model), trained, output);
  fmt::print("{}: {} with the weights of step {}\n", options.text("output"), model.string(), checkpoint.meta.step);
  return ExitCode::ok;
}

}  // namespace weft::cli
