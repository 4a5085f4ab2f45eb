// The phases of a save, in order of appearance.
#include "src/checkpoint/save.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "comm/agreement.hpp"
#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/layout.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

/// A piece of one state, as it lies in the file and in the state.
struct Part {
  std::int64_t state = 0, state_offset = 0, file_offset = 0, length = 0;
};

template <class T>
std::vector<std::byte> to_bytes(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

template <class T>
std::vector<T> from_bytes(std::span<const std::byte> bytes) {
  check_internal(bytes.size() % sizeof(T) == 0, "another rank sent a message of the wrong length");
  std::vector<T> values(bytes.size() / sizeof(T));
  if (values.empty()) return values;
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

std::uint64_t word_of(std::span<const std::byte> bytes) {
  std::uint64_t word = 0;
  check_internal(bytes.size() >= sizeof word, "another rank sent a message of the wrong length");
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

std::vector<Part> parts_of(const FileLayout& layout) {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < layout.states.size(); ++i)
    for (std::int64_t at = 0; at < layout.states[i].bytes; at += kPieceBytes)
      parts.push_back({static_cast<std::int64_t>(i), at, layout.states[i].offset + at,
                       std::min(kPieceBytes, layout.states[i].bytes - at)});
  return parts;
}

/// Indices of the parts that each rank writes: runs of about equal bytes. first[r] to first[r + 1].
std::vector<std::size_t> shares(const std::vector<Part>& parts, int ranks) {
  std::int64_t total = 0, before = 0;
  for (const Part& part : parts) total += part.length;
  std::vector<std::size_t> first{0};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    while (static_cast<int>(first.size()) < ranks && before >= total / ranks * static_cast<std::int64_t>(first.size()))
      first.push_back(i);
    before += parts[i].length;
  }
  first.resize(static_cast<std::size_t>(ranks) + 1, parts.size());
  return first;
}

/// Names and types: what all ranks must agree on before one writes for another.
std::uint64_t signature(const StateSource& states) {
  Hash64 hash;
  for (const StateItem& state : states)
    hash.update(dataset_path(state.name, state.role) + " " + state.type.str() + "\n");
  return hash.digest();
}

class Save {
 public:
  Save(Communicator& comm, const fs::path& folder, const StateSource& states, const CheckpointMeta& meta,
       FileSystem& files)
      : comm_(comm),
        folder_(folder),
        partial_(partial_path(folder, meta.step)),
        states_(states),
        meta_(meta),
        files_(files) {}

  std::int64_t run() {
    try {
      lay_out_file();
      write_shares();
      verify_shares();
      return commit();
    } catch (const Error&) {
      discard();
      throw;
    }
  }

 private:
  bool root() const { return comm_.rank() == 0; }

  void lay_out_file() {
    const auto plan = on_rank_0(comm_, "checkpoint: lay out", [&] {
      files_.make_folders(folder_);
      remove_partials(files_, folder_);
      layout_ = lay_out(partial_, states_, meta_);
      const auto file = files_.open(partial_, OpenMode::write);
      content_bytes_ = file->size();
      file->reserve(content_bytes_);
      std::vector<std::byte> bytes = to_bytes(parts_of(layout_));
      const std::uint64_t ours = signature(states_);
      const auto head = std::as_bytes(std::span(&ours, 1));
      bytes.insert(bytes.begin(), head.begin(), head.end());
      return bytes;
    });
    parts_ = from_bytes<Part>(std::span(plan).subspan(sizeof(std::uint64_t)));
    rank_0_signature_ = word_of(plan);
    first_ = shares(parts_, comm_.size());
  }

  std::span<const Part> share(int rank) const {
    const auto r = static_cast<std::size_t>(rank);
    return std::span(parts_).subspan(first_[r], first_[r + 1] - first_[r]);
  }

  void write_shares() {
    const auto hashes = together(comm_, "checkpoint: write", [&] {
      check_internal(signature(states_) == rank_0_signature_, "the states of this rank are not those of rank 0");
      std::vector<std::uint64_t> mine;
      if (!share(comm_.rank()).empty()) {
        const auto file = files_.open(partial_, OpenMode::write);
        for (const Part& part : share(comm_.rank())) {
          const std::span<std::byte> bytes = room(part.length);
          states_[static_cast<std::size_t>(part.state)].read(part.state_offset, bytes);
          mine.push_back(hash64(bytes));
          file->write_at(bytes, part.file_offset);
        }
        file->sync();
      }
      return to_bytes(mine);
    });
    for (const auto& bytes : hashes) {
      const auto some = from_bytes<std::uint64_t>(bytes);
      hashes_.insert(hashes_.end(), some.begin(), some.end());
    }
    check_internal(hashes_.size() == parts_.size(), "a checkpoint's ranks wrote another number of pieces than planned");
  }

  /// What a rank has written lies in its own node's cache; another rank sees what the file system holds.
  void verify_shares() {
    together(comm_, "checkpoint: verify", [&] {
      const int next = (comm_.rank() + 1) % comm_.size();
      if (share(next).empty()) return std::vector<std::byte>{};
      const auto file = files_.open(partial_, OpenMode::read);
      std::size_t index = first_[static_cast<std::size_t>(next)];
      for (const Part& part : share(next)) {
        const std::span<std::byte> bytes = room(part.length);
        file->read_at(bytes, part.file_offset);
        if (hash64(bytes) != hashes_[index++])
          throw SystemError(
              fmt::format("'{}' does not hold what rank {} wrote to it at byte {}: the disk or file system loses data",
                          partial_.string(), next, part.file_offset));
      }
      return std::vector<std::byte>{};
    });
  }

  std::int64_t commit() {
    const auto size = on_rank_0(comm_, "checkpoint: commit", [&] {
      std::int64_t bytes = 0;
      {
        const auto file = files_.open(partial_, OpenMode::write);
        write_checksums(*file);
        const std::vector<std::byte> record = encode(make_record(*file));
        file->write_at(record, content_bytes_);
        file->sync();
        bytes = file->size();
        verify_record(*file, record);
      }
      files_.rename(partial_, checkpoint_path(folder_, meta_.step));
      files_.sync_folder(folder_);
      return to_bytes(std::vector<std::int64_t>{bytes});
    });
    return static_cast<std::int64_t>(word_of(size));
  }

  /// The table of checksums: a state's is the hash of its bytes, or, of one above a piece, of its pieces' hashes.
  void write_checksums(File& file) {
    std::vector<std::uint64_t> sums;
    std::size_t part = 0;
    for (const Extent& extent : layout_.states) {
      const auto count = static_cast<std::size_t>((extent.bytes + kPieceBytes - 1) / kPieceBytes);
      const auto some = std::span(hashes_).subspan(part, count);
      sums.push_back(count == 1 ? some.front() : hash64(std::as_bytes(some)));
      part += count;
    }
    const auto written = std::as_bytes(std::span(sums));
    file.write_at(written, layout_.checksums.offset);
    const std::span<std::byte> held = room(static_cast<std::int64_t>(written.size()));
    file.read_at(held, layout_.checksums.offset);
    if (!std::equal(held.begin(), held.end(), written.begin(), written.end())) lost("the table of checksums");
  }

  void verify_record(const File& file, const std::vector<std::byte>& record) {
    std::vector<std::byte> held(record.size());
    if (file.size() == content_bytes_ + static_cast<std::int64_t>(record.size())) file.read_at(held, content_bytes_);
    if (held != record) lost("the commit record");
  }

  [[noreturn]] void lost(std::string_view what) const {
    throw SystemError(fmt::format("'{}' does not hold {} that was written to it: the disk or file system loses data",
                                  partial_.string(), what));
  }

  CommitRecord make_record(const File& file) {
    CommitRecord record;
    record.names.push_back(kStructure);
    for (const Extent& extent : layout_.states) record.names.push_back(extent.path);
    std::vector<std::size_t> order(parts_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return parts_[a].file_offset < parts_[b].file_offset; });
    std::int64_t end = 0;
    for (const std::size_t i : order) {
      const Part& part = parts_[i];
      check_internal(part.file_offset >= end, "datasets of a checkpoint overlap");
      add_structure(record, file, end, part.file_offset);
      record.pieces.push_back({part.file_offset, part.length, hashes_[i], static_cast<std::size_t>(part.state) + 1});
      end = part.file_offset + part.length;
    }
    check_internal(end <= content_bytes_, "a dataset lies beyond the end of its checkpoint");
    add_structure(record, file, end, content_bytes_);
    return record;
  }

  void add_structure(CommitRecord& record, const File& file, std::int64_t begin, std::int64_t end) {
    for (; begin < end; begin += kPieceBytes) {
      const std::span<std::byte> bytes = room(std::min(kPieceBytes, end - begin));
      file.read_at(bytes, begin);
      record.pieces.push_back({begin, static_cast<std::int64_t>(bytes.size()), hash64(bytes), 0});
    }
  }

  /// Not collective: the failure that led here is what the user must know.
  void discard() noexcept {
    if (!root()) return;
    try {
      files_.remove(partial_);
    } catch (const Error&) {
    }
  }

  std::span<std::byte> room(std::int64_t bytes) {
    buffer_.resize(static_cast<std::size_t>(std::max(bytes, static_cast<std::int64_t>(buffer_.size()))));
    return std::span(buffer_).first(static_cast<std::size_t>(bytes));
  }

  Communicator& comm_;
  fs::path folder_, partial_;
  const StateSource& states_;
  const CheckpointMeta& meta_;
  FileSystem& files_;
  FileLayout layout_;               ///< rank 0 only
  std::int64_t content_bytes_ = 0;  ///< rank 0 only
  std::uint64_t rank_0_signature_ = 0;
  std::vector<Part> parts_;
  std::vector<std::size_t> first_;
  std::vector<std::uint64_t> hashes_;  ///< by part
  std::vector<std::byte> buffer_;
};

}  // namespace

SaveReport save_checkpoint(Communicator& comm, const fs::path& folder, const StateSource& states,
                           const CheckpointMeta& meta, FileSystem& files, int keep) {
  check_internal(keep >= 1, "at least one checkpoint is kept");
  const auto start = std::chrono::steady_clock::now();
  SaveReport report{checkpoint_path(folder, meta.step), 0, 0, {}};
  try {
    report.bytes = Save(comm, folder, states, meta, files).run();
  } catch (Error& error) {
    error.add_context(fmt::format("saving the checkpoint of step {}", meta.step));
    throw;
  }
  if (comm.rank() == 0) {
    try {
      remove_old(files, folder, meta.step, keep);
    } catch (const SystemError& error) {
      report.warning = error.what();
    }
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace weft
