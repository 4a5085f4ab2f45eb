// AsyncSave: a checkpoint that is written while training goes on.
//
//   begin     the states' bytes come to the ranks that will write them, into memory; steps may change the states then
//   a thread  of each rank writes, reads back, and on rank 0 commits: the phases of a save (save.hpp), without messages
//   poll      between phases, when every rank's thread is through: all exchange how it went, and go on
//
// Whether every thread is through is agreed on by the caller, with whatever else ranks agree on at every step: nothing
// waits for a disk, and no message is sent beside the step's own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "src/checkpoint/save.hpp"

namespace weft {

class SaveWork;

class AsyncSave {
 public:
  /// `free_memory` says how many bytes this rank's node can still give.
  AsyncSave(Communicator& comm, FileSystem& files, std::function<std::int64_t()> free_memory);
  /// Gives up a save in flight: what is committed stays, a partial file is removed.
  ~AsyncSave();
  AsyncSave(const AsyncSave&) = delete;
  AsyncSave& operator=(const AsyncSave&) = delete;

  /// Collective; none is in flight. Takes the snapshot and starts writing. False, on all ranks, where some rank has no
  /// memory for its share of the states: nothing has happened, and save_checkpoint does it. Throws as that does.
  bool begin(const std::filesystem::path& folder, const StateSource& states, const CheckpointMeta& meta, int keep);
  /// The same on all ranks.
  bool in_flight() const { return work_ != nullptr; }
  /// Whether this rank's thread is still at work. Not collective.
  bool busy() const;
  /// Collective, with a save in flight. Waits for the threads of all ranks; then begins the next phase, or returns the
  /// report of a checkpoint that is now good. Throws what any rank's thread threw, as save_checkpoint would.
  std::optional<SaveReport> poll();
  /// Collective. Waits until none is in flight; the report of the one that was.
  std::optional<SaveReport> finish();

 private:
  enum class Phase : std::uint8_t { write, verify, commit };
  using Bytes = std::vector<std::byte>;

  bool all_have_memory(const StateSource& states);
  void start(Phase phase);
  std::optional<SaveReport> next(const std::vector<Bytes>& results);
  void give_up() noexcept;
  template <class Action>
  auto guarded(const Action& action);

  Communicator& comm_;
  FileSystem& files_;
  std::function<std::int64_t()> free_memory_;
  std::unique_ptr<std::byte[]> memory_;  ///< kept from one save to the next
  std::int64_t memory_bytes_ = 0;
  std::unique_ptr<SaveWork> work_;
  Phase phase_ = Phase::write;
  std::future<Bytes> running_;
  std::chrono::duration<double> spent_{0};  ///< of this rank, waiting for others and for steps left out
};

}  // namespace weft
