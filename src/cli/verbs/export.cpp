// weft export: the weights of a checkpoint, back in the user's own ONNX model.
#include "graph/onnx/export.hpp"

#include "fmt/format.h"
#include "src/checkpoint/load.hpp"
#include "src/cli/verbs.hpp"
#include "src/files/output_path.hpp"
#include "src/job/job_file.hpp"

namespace weft::cli {
namespace {

/// A checkpoint file as it is named, or the newest sound one of a run folder.
std::filesystem::path checkpoint_of(FileSystem& files, const std::filesystem::path& named) {
  if (!std::filesystem::is_directory(named)) return named;
  const std::filesystem::path inside = named / "checkpoints";
  std::vector<RejectedCheckpoint> passed_over;
  const auto found = newest_valid(files, std::filesystem::is_directory(inside) ? inside : named, passed_over);
  for (const RejectedCheckpoint& r : passed_over)
    fmt::print(stderr, "passing over {}: {}\n", r.path.string(), r.reason);
  if (!found)
    throw UserError(
        fmt::format("{} is a folder without a checkpoint: name a run folder, as runs/NAME, or a file as "
                    "runs/NAME/checkpoints/step-N.h5",
                    named.string()));
  return found->path;
}

}  // namespace

ExitCode run_export(const Arguments& arguments) {
  Options options("export", "Writes the trained weights of a checkpoint back into the ONNX model that was trained.");
  options
      .argument("CHECKPOINT", "a checkpoint (HDF5), as in runs/NAME/checkpoints/step-N.h5; or a run folder: its newest")
      .required_value("output,o", "F.onnx", "the file to write")
      .value("model", "M.onnx", "the model that was trained; by default where the checkpoint's job has it")
      .example("weft export runs/fashion/checkpoints/step-2345.h5 -o trained.onnx")
      .example("weft export runs/fashion -o trained.onnx");
  if (!options.parse(arguments)) return ExitCode::ok;
  PosixFileSystem files;
  const std::filesystem::path named = checkpoint_of(files, options.text("CHECKPOINT"));
  const auto checkpoint = load_checkpoint(files, named);
  std::filesystem::path model = options.text("model");
  if (model.empty()) {
    const auto job = parse_job(checkpoint.meta.job, named.string() + ": its job", ".");
    model = job_path(job, job.model);
  }
  std::map<std::string, Tensor> trained;
  for (const auto& state : checkpoint.states)
    if (state.role != StateRole::other) trained.emplace(state.name, state.value);
  const auto output = output_path(options.text("output"), {named.string(), model.string()});
  onnx::export_model(onnx::load_model(model), trained, output);
  fmt::print("{}: {} with the weights of step {}\n", options.text("output"), model.string(), checkpoint.meta.step);
  return ExitCode::ok;
}

}  // namespace weft::cli
