// weft inspect: what a file is, found from its content, and whether it is sound.
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "fmt/format.h"
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

}  // namespace

ExitCode run_inspect(const Arguments& arguments) {
  Options options("inspect", "Says what a file is and whether it is sound: every element of it is read and checked.");
  options.argument("FILE", "training data (HDF5) or a job file (YAML)")
      .flag("json", "as JSON (training data)")
      .example("weft inspect fashion-train.h5")
      .example("weft inspect job.yaml");
  if (!options.parse(arguments)) return ExitCode::ok;
  const auto& path = options.text("FILE");
  if (std::filesystem::is_directory(path)) throw UserError(path + ": a folder; name a file in it");
  if (first_bytes(path, kHdf5Signature.size()) == kHdf5Signature) {
    inspect_data(path, options.has("json"));
    return ExitCode::ok;
  }
  const auto extension = std::filesystem::path(path).extension();
  if (extension != ".yaml" && extension != ".yml")
    throw UserError(path +
                    ": neither training data (HDF5) nor a job file (.yaml); its content is of no kind known here");
  const auto job = read_job(path);
  fmt::print("Job '{}': sound. Model {}, training data {}, {} optimiser.\nIts settings: weft job {}\n", job.name,
             job_path(job, job.model).string(), job_path(job, job.data.train).string(), job.optimizer.name, path);
  return ExitCode::ok;
}

}  // namespace weft::cli
