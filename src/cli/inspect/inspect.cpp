// What a file is, from its first bytes and, where they do not tell, its name.
#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

#include "comm/flight_log.hpp"
#include "fmt/format.h"
#include "src/checkpoint/load.hpp"
#include "src/cli/inspect/inspection.hpp"
#include "src/faults/last_operation.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;

std::string first_bytes(const fs::path& path, std::size_t count) {
  if (!fs::is_regular_file(path)) throw UserError(path.string() + ": is neither a regular file nor a folder");
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream.is_open()) throw SystemError::from_errno("cannot read " + path.string(), errno != 0 ? errno : EIO);
  std::string bytes(count, '\0');
  if (!stream.read(bytes.data(), static_cast<std::streamsize>(count)) && stream.bad())
    throw SystemError::from_errno("cannot read " + path.string(), errno != 0 ? errno : EIO);
  bytes.resize(static_cast<std::size_t>(stream.gcount()));
  return bytes;
}

bool starts_with_number(const std::string& bytes, std::uint64_t number) {
  std::string magic;
  for (int i = 0; i < 8; ++i) magic += static_cast<char>(number >> (8 * i));
  return bytes.starts_with(magic);
}

// JSON files of a run are told apart by name; others by what their beginning shows.
Inspection inspect_json(FileSystem& files, const fs::path& path, const std::string& bytes) {
  const auto name = path.filename().string();
  if (name.ends_with(".jsonl") || bytes.starts_with("{\"step\"")) return inspect_log(files, path);
  if (bytes.find("\"traceEvents\"") != std::string::npos || bytes.starts_with("[") || name == "trace.json")
    return inspect_trace(path);
  if (bytes.find("\"mesh\"") != std::string::npos || name == "plan.json") return inspect_plan(files, path);
  return inspect_exit_report(files, path);
}

// Files that `weft data import` reads, recognised so that the answer can say so.
const char* importable(const std::string& bytes, const std::string& extension) {
  if (bytes.starts_with("PK\x03\x04")) return "a zip file, as .npz archives are";
  if (bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0) return "perhaps an IDX file";
  if (bytes.starts_with("\x1f\x8b")) return "a gzip file";
  for (const char* known : {".csv", ".tsv", ".txt"})
    if (extension == known) return "text";
  return nullptr;
}

Inspection inspect_folder(FileSystem& files, const fs::path& path) {
  if (looks_like_run_folder(files, path)) return inspect_run_folder(files, path);
  throw UserError(
      fmt::format("{}: a folder, but no run's: it has no job.yaml, exit.json, ranks or checkpoints. Name a "
                  "file in it, or see `weft data import` for a folder of images and `weft verify` for "
                  "backend-test folders",
                  path.string()));
}

}  // namespace

Inspection inspect(FileSystem& files, const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return inspect_folder(files, path);
  if (!fs::exists(path, error))
    throw SystemError::from_errno("cannot read " + path.string(), error ? error.value() : ENOENT);
  const auto bytes = first_bytes(path, 4096);
  const auto extension = path.extension().string();
  if (bytes.starts_with("\x89HDF\r\n\x1a\n") || extension == ".h5" || extension == ".hdf5")
    return looks_like_checkpoint(files, path) ? inspect_checkpoint(files, path) : inspect_data(path);
  if (path.filename().string().find("tfevents") != std::string::npos) return inspect_event_file(files, path);
  if (starts_with_number(bytes, RankRecord::kMagic)) return inspect_rank_record(path);
  if (starts_with_number(bytes, FlightHead::kMagic)) return inspect_flight_log(path);
  if (extension == ".onnx") return inspect_model(path);
  if (extension == ".yaml" || extension == ".yml") return inspect_job(path);
  const auto first = bytes.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && (bytes[first] == '{' || bytes[first] == '['))
    return inspect_json(files, path, bytes.substr(first));
  if (bytes.empty()) throw UserError(path.string() + ": is empty");
  if (const char* what = importable(bytes, extension))
    throw UserError(fmt::format(
        "{}: {}; `weft data import` turns such files into training data, which can be inspected", path.string(), what));
  throw UserError(
      fmt::format("{}: of no kind known here: neither HDF5, JSON, a TensorBoard event file (tfevents in its "
                  "name) nor a rank's record, and its name ends neither in .onnx nor in .yaml",
                  path.string()));
}

}  // namespace weft::cli
