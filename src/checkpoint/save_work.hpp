// The parts of a save. Those that exchange bytes are collective; the rest touches only files and this rank's memory,
// so that it may run on another thread while training goes on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/checkpoint/checkpoint.hpp"
#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/exchange.hpp"
#include "src/checkpoint/layout.hpp"
#include "src/checkpoint/save.hpp"
#include "src/files/file_system.hpp"
#include "weft/communicator.hpp"

namespace weft {

class SaveWork {
 public:
  using Bytes = std::vector<std::byte>;

  SaveWork(Communicator& comm, std::filesystem::path folder, CheckpointMeta meta, FileSystem& files, int keep);
  SaveWork(const SaveWork&) = delete;
  SaveWork& operator=(const SaveWork&) = delete;

  // In this order. First, collective: rank 0 lays the file out aside, all learn where bytes go and who holds them.
  void lay_out(const StateSource& states);
  /// What this rank will write, and so what a snapshot takes.
  std::int64_t share_bytes() const;

  // Then one of these, collective: each rank's share is put together from the parts of all ranks ...
  /// ... and written piece by piece. Returns the outcome's hashes, or throws the first failure, after the exchange.
  std::function<Bytes()> write_while_gathering(const StateSource& states);
  /// ... and kept in `memory`, of share_bytes(), for write_snapshot.
  void take_snapshot(const StateSource& states, std::span<std::byte> memory);

  // Then these, not collective: each rank's result of one is what all ranks' next needs.
  Bytes write_snapshot();                                 ///< returns hashes of what was written
  void hear_hashes(const std::vector<Bytes>& all_ranks);  ///< of write_snapshot or write_while_gathering
  Bytes verify();                                         ///< reads back what the next rank wrote; returns nothing
  Bytes commit();                                         ///< rank 0: checksums, record, rename; removes old ones
  SaveReport report(const Bytes& of_rank_0) const;

  /// After a failure. Not collective: rank 0 removes the partial file.
  void discard() noexcept;
  /// The rest of the work ends soon, with an error.
  void cancel() { cancelled_ = true; }
  /// Adds to a failure which step's checkpoint it cost.
  void add_context(Error& error) const;

 private:
  /// A piece of one state, as it lies in the file and in the state.
  struct Part {
    std::int64_t state = 0, state_offset = 0, file_offset = 0, length = 0;
  };

  bool root() const { return comm_.rank() == 0; }
  static std::vector<Part> parts_of(const FileLayout& layout);
  std::span<const Part> share(int rank) const;
  /// Collective. Each of this rank's parts in turn: `room` gives memory for it, `use` takes it.
  void gather_share(const StateSource& states, const std::function<std::span<std::byte>(const Part&)>& room,
                    const std::function<void(const Part&, std::span<const std::byte>)>& use);
  void write_checksums(File& file);
  void verify_record(const File& file, const Bytes& record);
  CommitRecord make_record(const File& file);
  void add_structure(CommitRecord& record, const File& file, std::int64_t begin, std::int64_t end);
  [[noreturn]] void lost(std::string_view what) const;
  void check_cancelled() const;
  std::span<std::byte> room(std::int64_t bytes);

  Communicator& comm_;
  std::filesystem::path folder_, partial_;
  CheckpointMeta meta_;
  FileSystem& files_;
  int keep_;
  std::atomic<bool> cancelled_ = false;
  bool laid_out_ = false, committed_ = false;
  FileLayout layout_;               ///< rank 0 only
  std::int64_t content_bytes_ = 0;  ///< rank 0 only
  std::optional<PieceExchange> exchange_;
  std::vector<Part> parts_;
  std::vector<std::size_t> first_;  ///< of each rank's parts, as even_shares gives
  std::span<std::byte> snapshot_;
  std::vector<std::uint64_t> hashes_;  ///< by part
  std::vector<std::byte> buffer_;
};

}  // namespace weft
