// The HDF5 content of a checkpoint: laid out empty before ranks write, described when it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "src/checkpoint/checkpoint.hpp"
#include "src/checkpoint/commit_record.hpp"

namespace weft {

inline constexpr const char* kChecksums = "/checksums";

/// Where a dataset's elements lie.
struct Extent {
  std::string path;
  std::int64_t offset = 0, bytes = 0;
};

struct FileLayout {
  std::vector<Extent> states;  ///< by item of the source; empty tensors have no bytes
  Extent checksums;            ///< one u64 a state, in the order of the attribute "datasets"
};

/// Creates `path`, which must not exist, with the attributes and datasets of a checkpoint, elements unwritten.
FileLayout lay_out(const std::filesystem::path& path, const StateSource& states, const CheckpointMeta& meta);

struct DescribedState {
  StateKey key;
  TensorType type;
  Extent extent;
};

struct Description {
  CheckpointMeta meta;
  std::vector<DescribedState> states;  ///< by name
};

/// Reads attributes and datasets, not their elements. Throws UserError when the file is not laid out as above.
Description describe(const std::filesystem::path& path);

}  // namespace weft
