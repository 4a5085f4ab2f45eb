// weft inspect: what a file is, found from its content, and whether it is sound.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "fmt/format.h"
#include "graph/onnx/describe.hpp"
#include "src/checkpoint/load.hpp"
#include "src/cli/verbs.hpp"
#include "src/data/data_file.hpp"
#include "src/job/job_file.hpp"

namespace weft::cli {
namespace {

constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

std::string first_bytes(const std::string& path, std::size_t count) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  std::string bytes(count, '\0');
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(count)) && stream.bad())
    throw SystemError::from_errno("cannot read " + path, errno != 0 ? errno : EIO);
  if (!stream.is_open()) throw SystemError::from_errno("cannot read " + path, errno != 0 ? errno : EIO);
  bytes.resize(static_cast<std::size_t>(stream.gcount()));
  return bytes;
}

void inspect_data(const std::string& path, bool json) {
  const auto description = DataFile(path).verify();
  fmt::print("{}", json ? description.json() + "\n" : "Training data\n" + description.text());
  for (const auto& dataset : description.datasets)
    if (!dataset.checksum_holds.value_or(true))
      throw UserError(fmt::format("{}: dataset '{}' is damaged: its checksum does not hold", path, dataset.name));
}

void inspect_checkpoint(FileSystem& files, const std::string& path) {
  const auto checkpoint = describe_checkpoint(files, path);
  const auto count = [&](StateRole role) {
    return std::count_if(checkpoint.states.begin(), checkpoint.states.end(),
                         [&](const LoadedState& state) { return state.role == role; });
  };
  fmt::print("Checkpoint, sound: step {}, {} epochs and {} batches, written by weft {}\n", checkpoint.meta.step,
             checkpoint.meta.epoch, checkpoint.meta.batch_in_epoch, checkpoint.meta.weft_version);
  fmt::print("{} bytes: {} parameters, {} statistics, {} other states\n", checkpoint.file_bytes,
             count(StateRole::parameter), count(StateRole::statistic), count(StateRole::other));
  for (const auto& state : checkpoint.states) fmt::print("  {}  {}\n", state.name, state.type.str());
}

}  // namespace

ExitCode run_inspect(const Arguments& arguments) {
  Options options("inspect", "Says what a file is and whether it is sound: every element of it is read and checked.");
  options.argument("FILE", "a model (ONNX), a checkpoint or training data (HDF5), or a job file (YAML)")
      .flag("json", "as JSON (training data)")
      .example("weft inspect lenet.onnx")
      .example("weft inspect fashion-train.h5")
      .example("weft inspect job.yaml");
  if (!options.parse(arguments)) return ExitCode::ok;
  const auto& path = options.text("FILE");
  if (std::filesystem::is_directory(path)) throw UserError(path + ": a folder; name a file in it");
  if (first_bytes(path, kHdf5Signature.size()) == kHdf5Signature) {
    PosixFileSystem files;
    if (looks_like_checkpoint(files, path))
      inspect_checkpoint(files, path);
    else
      inspect_data(path, options.has("json"));
    return ExitCode::ok;
  }
  const auto extension = std::filesystem::path(path).extension();
  if (extension == ".onnx") {
    fmt::print("{}", onnx::to_text(onnx::describe_model(onnx::load_model(path))));
    return ExitCode::ok;
  }
  if (extension != ".yaml" && extension != ".yml")
    throw UserError(path + ": not HDF5, and its name ends neither in .onnx nor in .yaml; it is of no kind known here");
  const auto job = read_job(path);
  fmt::print("Job '{}': sound. Model {}, training data {}, {} optimiser.\nIts settings: weft job {}\n", job.name,
             job_path(job, job.model).string(), job_path(job, job.data.train).string(), job.optimizer.name, path);
  return ExitCode::ok;
}

}  // namespace weft::cli
