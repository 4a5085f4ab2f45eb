// Writing a checkpoint: it exists whole, verified and durable under its name, or not at all.
//
//   rank 0      lays the file out aside, as .step-N.h5.partial, and tells all where the bytes go
//   all ranks   put their share of the file together from the parts of all (exchange.hpp), hash, write and flush it,
//               and tell the hashes
//   all ranks   read back what the next rank wrote and compare
//   rank 0      writes the table of checksums and the commit record, flushes, renames to step-N.h5, flushes the folder
//   rank 0      removes checkpoints beyond the newest `keep`
//
// Between the lines all ranks exchange how it went: a failure on any ends the save on all with one message, the partial
// file is removed, and earlier checkpoints are as they were. A crash leaves at most a partial file, which nothing reads
// and the next save removes. async_save.hpp does the same beside the steps that follow.
#pragma once

#include <filesystem>
#include <string>

#include "src/checkpoint/checkpoint.hpp"
#include "src/files/file_system.hpp"
#include "weft/communicator.hpp"

namespace weft {

struct SaveReport {
  std::filesystem::path path;
  std::int64_t bytes = 0;  ///< of the file
  double seconds = 0;
  std::string warning;  ///< the checkpoint is good but old ones could not be removed; rank 0 only
};

/// Collective. The ranks' parts make whole states; parts that several ranks hold are equal. Each rank writes an even
/// share of the file, for which others send it what it does not hold. `folder` is on a file system that all ranks
/// share. Throws SystemError naming rank, file and cause when the world fails.
SaveReport save_checkpoint(Communicator& comm, const std::filesystem::path& folder, const StateSource& states,
                           const CheckpointMeta& meta, FileSystem& files, int keep);

}  // namespace weft
