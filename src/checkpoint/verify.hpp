// The two halves of reading a checkpoint: its structure, by one rank, and its pieces, by all. Internal.
#pragma once

#include <functional>
#include <span>

#include "src/checkpoint/load.hpp"

namespace weft {

/// What load_checkpoint says of a file before it has read values, and without having checked them.
LoadedCheckpoint describe_unchecked(FileSystem& files, const std::filesystem::path& path);
/// Reads pieces and compares their hashes; `use` gets their bytes. Throws UserError naming file and dataset.
void check_pieces(FileSystem& files, const LoadedCheckpoint& checkpoint, std::span<const CheckpointPiece> pieces,
                  const std::function<void(const CheckpointPiece&, std::span<const std::byte>)>& use);
/// Throws UserError where the file name says another step than the file.
void check_step(const LoadedCheckpoint& checkpoint, std::int64_t step);

}  // namespace weft
