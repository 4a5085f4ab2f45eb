// The folder of one run: runs/NAME, laid out as users know it, held by one job at a time.
//
//   job.yaml  plan.json  log.jsonl  events.out.tfevents.*  checkpoints/  model.onnx  trace.json  exit.json  ranks/
//
// Only rank 0 opens it; other ranks are told its path.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "src/files/file_system.hpp"

namespace weft {

enum class RunStart : std::uint8_t {
  resume,  ///< go on in a folder that exists
  fresh,   ///< move a folder that exists aside (NAME.1, NAME.2, …) and begin a new one
};

class RunFolder {
 public:
  /// Makes or opens `runs`/`name` and locks it until destruction. Throws UserError when the name is not one, when the
  /// folder is something else than a run, or when another job holds it (naming its process and machine); SystemError
  /// when it cannot be made or written.
  static RunFolder open(FileSystem& files, const std::filesystem::path& runs, const std::string& name, RunStart start);
  /// Whether a job holds the folder, on whatever machine as far as the file system's locks reach. Absent when that
  /// cannot be told. Changes nothing.
  static std::optional<bool> in_use(const std::filesystem::path& folder);
  RunFolder(RunFolder&&) noexcept;
  RunFolder& operator=(RunFolder&&) noexcept;
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path log() const { return path_ / "log.jsonl"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path ranks() const { return path_ / "ranks"; }
  std::filesystem::path model() const { return path_ / "model.onnx"; }
  std::filesystem::path trace() const { return path_ / "trace.json"; }
  /// Where an older run of this name was moved; empty when there was none.
  const std::filesystem::path& moved_aside() const { return moved_aside_; }
  /// What the user should hear once, such as a file system that cannot lock; empty otherwise.
  const std::string& warning() const { return warning_; }

  // Whole or not at all.
  void write_job(std::string_view yaml) { write("job.yaml", yaml); }
  void write_plan(std::string_view json) { write("plan.json", json); }
  void write_exit(std::string_view json) { write("exit.json", json); }

 private:
  class Lock;
  RunFolder(FileSystem& files, std::filesystem::path path);
  void write(const std::string& name, std::string_view text);

  FileSystem* files_;
  std::filesystem::path path_;
  std::filesystem::path moved_aside_;
  std::string warning_;
  std::unique_ptr<Lock> lock_;
};

/// Throws UserError unless `name` has only letters, digits, '.', '_' and '-', starts with a letter or digit, and is at
/// most 100 long.
void check_run_name(const std::string& name);

}  // namespace weft
