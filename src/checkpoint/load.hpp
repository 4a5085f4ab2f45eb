// Reading checkpoints. Nothing is returned, and nothing restored, before every byte of the file has been checked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/checkpoint/checkpoint.hpp"
#include "src/files/file_system.hpp"
#include "weft/communicator.hpp"

namespace weft {

/// Whether the file claims to be a checkpoint: cheap, for telling kinds of files apart.
bool looks_like_checkpoint(FileSystem& files, const std::filesystem::path& path);

/// Throws UserError naming the file and saying whether it is empty, truncated, damaged (and in which dataset), an HDF5
/// file of something else, no HDF5 file at all, or of a newer format; SystemError when it cannot be read.
LoadedCheckpoint load_checkpoint(FileSystem& files, const std::filesystem::path& path);
/// The same checks; values are left out.
LoadedCheckpoint describe_checkpoint(FileSystem& files, const std::filesystem::path& path);

/// A checkpoint that cannot be used, and why.
struct RejectedCheckpoint {
  std::filesystem::path path;
  std::string reason;
};
struct FoundCheckpoint {
  std::int64_t step = 0;
  std::filesystem::path path;
};
/// The newest sound checkpoint of a folder; unsound ones that are newer are added to `passed_over`.
std::optional<FoundCheckpoint> newest_valid(FileSystem& files, const std::filesystem::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over);

/// Collective. Every byte of the file is checked by one of the ranks, on which all agree; values are left out, for
/// `restore` to read. `passed_over` is filled on every rank.
LoadedCheckpoint load_checkpoint(Communicator& comm, FileSystem& files, const std::filesystem::path& path);
std::optional<LoadedCheckpoint> load_newest(Communicator& comm, FileSystem& files, const std::filesystem::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over);

/// Throws UserError naming the first state, parameters first, that the checkpoint lacks, has in another type or shape,
/// or has beyond those of `expected`: it is of another model or optimiser.
void check_fits(const LoadedCheckpoint& checkpoint, const StateSource& expected);
/// Collective. Reads into the table those states of a checkpoint, as the collective functions above gave it, that the
/// table has: whatever mesh it was saved by, every rank receives its parts, and every byte is read and checked by one
/// rank. Types were compared. Throws SystemError where the file is no longer what it was.
void restore(Communicator& comm, FileSystem& files, StateTable& table, const LoadedCheckpoint& checkpoint);

}  // namespace weft
