// What a checkpoint is: the states of a training run at the end of one step, and where that step stands.
//
// The file is described for users in README.md beside this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/shard.hpp"
#include "weft/state.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// The format that this version writes, and the newest that it reads.
inline constexpr int kCheckpointFormat = 1;

/// Everything about a run that is not a state.
struct CheckpointMeta {
  std::int64_t step = 0;            ///< optimiser steps done
  std::int64_t epoch = 0;           ///< whole epochs done
  std::int64_t batch_in_epoch = 0;  ///< batches of the current epoch done: where the data goes on
  std::int64_t samples_seen = 0;
  std::int64_t seed = 0;
  std::string job;   ///< the resolved job, YAML
  std::string plan;  ///< JSON
  std::string model_fingerprint, data_fingerprint;
  std::string weft_version;

  bool operator==(const CheckpointMeta&) const = default;
};

/// Where in the file a state is found.
enum class StateRole : std::uint8_t { parameter, statistic, other };

/// One state to save: equal name, role and type on every rank. Ranks that hold the same part of it hold equal bytes.
struct StateItem {
  std::string name;  ///< as in the StateTable; "optimizer/SLOT/NAME" for the optimiser's
  StateRole role = StateRole::parameter;
  TensorType type;             ///< of the whole
  std::optional<Shard> shard;  ///< what this rank holds; nothing of it where absent
  /// Copies bytes of this rank's part from `offset` on, row-major, to the host.
  std::function<void(std::int64_t offset, std::span<std::byte> to)> read;
};
using StateSource = std::vector<StateItem>;

/// All states of a table, which must outlive the result. Those named in `parameters` are parameters; of the rest,
/// those that begin with "optimizer/" or "accumulate/" or are scalars are `other`, and what is left are statistics.
StateSource states_of(const StateTable& table, const std::set<std::string>& parameters);
/// One state that is a tensor on the host.
StateItem state_item(std::string name, StateRole role, Tensor value);

struct LoadedState {
  std::string name;
  StateRole role = StateRole::parameter;
  TensorType type;
  Tensor value;  ///< scalar zero where only a description was asked for
};

/// Bytes of one state that lie together in the file, with the hash that they must have.
struct CheckpointPiece {
  std::int64_t state = 0;  ///< index into the states
  std::int64_t offset = 0, file_offset = 0, length = 0;
  std::uint64_t hash = 0;
};

struct LoadedCheckpoint {
  std::filesystem::path path;
  CheckpointMeta meta;
  std::vector<LoadedState> states;  ///< by name
  std::int64_t file_bytes = 0;
  std::vector<CheckpointPiece> pieces;  ///< by state and offset
};

/// The path of a state's dataset: /parameters/NAME, /statistics/NAME, /optimizer/SLOT/NAME, /accumulate/NAME or
/// /scalars/NAME. In a NAME, '%', '/' and control characters are written %XX (hexadecimal), and a NAME that is "." too.
/// Throws InternalError for an empty name.
std::string dataset_path(const std::string& state, StateRole role);
struct StateKey {
  std::string name;
  StateRole role = StateRole::parameter;
};
/// The inverse. Throws UserError on a path that dataset_path never gives.
StateKey state_of_path(const std::string& path);

}  // namespace weft
