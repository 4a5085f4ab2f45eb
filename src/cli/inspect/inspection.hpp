// Inspections: what `weft inspect` finds out about a file or folder, for people and as JSON. One function a kind.
//
// Files are untrusted. An inspection reads all of what it is given, bounds what it keeps, and never believes a name
// where the content can tell.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"

namespace weft::cli {

struct Inspection {
  std::string kind;                   ///< "checkpoint", "training data", …
  std::string text;                   ///< lines for people, each ended; may hold what files say: print it escaped
  std::vector<std::string> problems;  ///< none: it is sound
  std::vector<std::string> notes;     ///< worth knowing, and no fault of the file
  nlohmann::ordered_json details = nlohmann::ordered_json::object();
};

/// Finds the kind from the content. Throws UserError where the kind is unknown or nothing of the file can be used,
/// SystemError where it cannot be read.
Inspection inspect(FileSystem& files, const std::filesystem::path& path);

Inspection inspect_checkpoint(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_data(const std::filesystem::path& path);
Inspection inspect_event_file(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_exit_report(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_flight_log(const std::filesystem::path& path);
Inspection inspect_job(const std::filesystem::path& path);
Inspection inspect_log(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_model(const std::filesystem::path& path);
Inspection inspect_plan(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_rank_record(const std::filesystem::path& path);
Inspection inspect_run_folder(FileSystem& files, const std::filesystem::path& path);
Inspection inspect_trace(const std::filesystem::path& path);

/// A run folder, or what is left of one.
bool looks_like_run_folder(const FileSystem& files, const std::filesystem::path& path);

}  // namespace weft::cli
