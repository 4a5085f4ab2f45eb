// Where bytes go, how they are put together, and how a file becomes a checkpoint.
#include "src/checkpoint/save_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/agreement.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/shares.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

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

/// Names and types: what all ranks must agree on before one writes for another.
std::uint64_t signature(const StateSource& states) {
  Hash64 hash;
  for (const StateItem& state : states)
    hash.update(dataset_path(state.name, state.role) + " " + state.type.str() + "\n");
  return hash.digest();
}

}  // namespace

SaveWork::SaveWork(Communicator& comm, fs::path folder, CheckpointMeta meta, FileSystem& files, int keep)
    : comm_(comm),
      folder_(std::move(folder)),
      partial_(partial_path(folder_, meta.step)),
      meta_(std::move(meta)),
      files_(files),
      keep_(keep) {
  check_internal(keep_ >= 1, "at least one checkpoint is kept");
}

void SaveWork::discard() noexcept {
  if (!root() || !laid_out_ || committed_) return;
  try {
    files_.remove(partial_);
  } catch (...) {
    // The failure that led here is what the user must know; the next save removes what is left.
  }
}

void SaveWork::add_context(Error& error) const {
  error.add_context(fmt::format("saving the checkpoint of step {}", meta_.step));
}

std::vector<SaveWork::Part> SaveWork::parts_of(const FileLayout& layout) {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < layout.states.size(); ++i)
    for (std::int64_t at = 0; at < layout.states[i].bytes; at += kPieceBytes)
      parts.push_back({static_cast<std::int64_t>(i), at, layout.states[i].offset + at,
                       std::min(kPieceBytes, layout.states[i].bytes - at)});
  return parts;
}

std::span<const SaveWork::Part> SaveWork::share(int rank) const {
  const auto r = static_cast<std::size_t>(rank);
  return std::span(parts_).subspan(first_[r], first_[r + 1] - first_[r]);
}

std::int64_t SaveWork::share_bytes() const {
  std::int64_t bytes = 0;
  for (const Part& part : share(comm_.rank())) bytes += part.length;
  return bytes;
}

void SaveWork::lay_out(const StateSource& states) {
  const auto plan = on_rank_0(comm_, "checkpoint: lay out", [&] {
    files_.make_folders(folder_);
    remove_partials(files_, folder_);
    laid_out_ = true;
    layout_ = weft::lay_out(partial_, states, meta_);
    const auto file = files_.open(partial_, OpenMode::write);
    content_bytes_ = file->size();
    file->reserve(content_bytes_);
    Bytes bytes = to_bytes(parts_of(layout_));
    const std::uint64_t ours = signature(states);
    const auto head = std::as_bytes(std::span(&ours, 1));
    bytes.insert(bytes.begin(), head.begin(), head.end());
    return bytes;
  });
  together(comm_, "checkpoint: compare states", [&] {
    check_internal(signature(states) == word_of(plan), "the states of this rank are not those of rank 0");
    return Bytes{};
  });
  parts_ = from_bytes<Part>(std::span(plan).subspan(sizeof(std::uint64_t)));
  std::vector<std::int64_t> lengths;
  for (const Part& part : parts_) lengths.push_back(part.length);
  first_ = even_shares(lengths, comm_.size());
  std::vector<TensorType> types;
  std::vector<const Shard*> mine;
  for (const StateItem& state : states) {
    types.push_back(state.type);
    mine.push_back(state.shard ? &*state.shard : nullptr);
  }
  Holders holders = holders_of(comm_, types, mine);
  exchange_.emplace(comm_, std::move(types), std::move(holders), "checkpoint: save");
}

void SaveWork::gather_share(const StateSource& states, const std::function<std::span<std::byte>(const Part&)>& room,
                            const std::function<void(const Part&, std::span<const std::byte>)>& use) {
  std::size_t rounds = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) rounds = std::max(rounds, share(rank).size());
  const auto read = [&](std::size_t state, std::int64_t offset, std::span<std::byte> to) {
    states[state].read(offset, to);
  };
  std::vector<std::optional<StatePiece>> wanted(static_cast<std::size_t>(comm_.size()));
  for (std::size_t round = 0; round < rounds; ++round) {
    for (int rank = 0; rank < comm_.size(); ++rank) {
      auto& piece = wanted[static_cast<std::size_t>(rank)];
      piece.reset();
      if (round >= share(rank).size()) continue;
      const Part& part = share(rank)[round];
      piece = StatePiece{static_cast<std::size_t>(part.state), {part.state_offset, part.length}};
    }
    const std::span<const Part> mine = share(comm_.rank());
    const std::span<std::byte> memory = round < mine.size() ? room(mine[round]) : std::span<std::byte>();
    exchange_->gather(wanted, read, memory);
    if (round < mine.size()) use(mine[round], memory);
  }
}

std::function<SaveWork::Bytes()> SaveWork::write_while_gathering(const StateSource& states) {
  std::exception_ptr failure;  // others still need this rank's bytes
  std::unique_ptr<File> file;
  const auto guarded = [&](const auto& action) {
    if (failure) return;
    try {
      action();
    } catch (const Error&) {
      failure = std::current_exception();
    }
  };
  std::vector<std::uint64_t> mine;
  if (!share(comm_.rank()).empty()) guarded([&] { file = files_.open(partial_, OpenMode::write); });
  gather_share(
      states, [&](const Part& part) { return this->room(part.length); },
      [&](const Part& part, std::span<const std::byte> bytes) {
        guarded([&] {
          mine.push_back(hash64(bytes));
          file->write_at(bytes, part.file_offset);
        });
      });
  if (file) guarded([&] { file->sync(); });
  return [failure, mine] {
    if (failure) std::rethrow_exception(failure);
    return to_bytes(mine);
  };
}

void SaveWork::take_snapshot(const StateSource& states, std::span<std::byte> memory) {
  check_internal(std::ssize(memory) == share_bytes(), "a snapshot of another size");
  snapshot_ = memory;
  std::int64_t at = 0;
  gather_share(
      states,
      [&](const Part& part) {
        at += part.length;
        return memory.subspan(static_cast<std::size_t>(at - part.length), static_cast<std::size_t>(part.length));
      },
      [](const Part&, std::span<const std::byte>) {});
}

SaveWork::Bytes SaveWork::write_snapshot() {
  std::vector<std::uint64_t> mine;
  if (share(comm_.rank()).empty()) return {};
  const auto file = files_.open(partial_, OpenMode::write);
  std::int64_t at = 0;
  for (const Part& part : share(comm_.rank())) {
    check_cancelled();
    const auto bytes = snapshot_.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(part.length));
    mine.push_back(hash64(bytes));
    file->write_at(bytes, part.file_offset);
    at += part.length;
  }
  file->sync();
  return to_bytes(mine);
}

void SaveWork::hear_hashes(const std::vector<Bytes>& all_ranks) {
  for (const Bytes& bytes : all_ranks) {
    const auto some = from_bytes<std::uint64_t>(bytes);
    hashes_.insert(hashes_.end(), some.begin(), some.end());
  }
  check_internal(hashes_.size() == parts_.size(), "a checkpoint's ranks wrote another number of pieces than planned");
}

/// What a rank has written lies in its own node's cache; another rank sees what the file system holds.
SaveWork::Bytes SaveWork::verify() {
  const int next = (comm_.rank() + 1) % comm_.size();
  if (share(next).empty()) return {};
  const auto file = files_.open(partial_, OpenMode::read);
  std::size_t index = first_[static_cast<std::size_t>(next)];
  for (const Part& part : share(next)) {
    check_cancelled();
    const std::span<std::byte> bytes = room(part.length);
    file->read_at(bytes, part.file_offset);
    if (hash64(bytes) != hashes_[index++])
      throw SystemError(
          fmt::format("'{}' does not hold what rank {} wrote to it at byte {}: the disk or file system loses data",
                      partial_.string(), next, part.file_offset));
  }
  return {};
}

SaveWork::Bytes SaveWork::commit() {
  if (!root()) return {};
  check_cancelled();
  std::int64_t bytes = 0;
  {
    const auto file = files_.open(partial_, OpenMode::write);
    write_checksums(*file);
    const Bytes record = encode(make_record(*file));
    file->write_at(record, content_bytes_);
    file->sync();
    bytes = file->size();
    verify_record(*file, record);
  }
  files_.rename(partial_, checkpoint_path(folder_, meta_.step));
  committed_ = true;
  files_.sync_folder(folder_);
  Bytes result = to_bytes(std::vector<std::int64_t>{bytes});
  try {
    remove_old(files_, folder_, meta_.step, keep_);
  } catch (const SystemError& error) {
    const std::string_view warning = error.what();
    const auto text = std::as_bytes(std::span(warning));
    result.insert(result.end(), text.begin(), text.end());
  }
  return result;
}

SaveReport SaveWork::report(const Bytes& of_rank_0) const {
  SaveReport report{checkpoint_path(folder_, meta_.step), static_cast<std::int64_t>(word_of(of_rank_0)), 0, {}};
  if (!root()) return report;
  const auto text = std::span(of_rank_0).subspan(sizeof(std::int64_t));
  report.warning.assign(reinterpret_cast<const char*>(text.data()), text.size());
  return report;
}

void SaveWork::check_cancelled() const {
  if (cancelled_) throw SystemError("it was given up because the run ended");
}

/// The table of checksums: a state's is the hash of its bytes, or, of one above a piece, of its pieces' hashes.
void SaveWork::write_checksums(File& file) {
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

void SaveWork::verify_record(const File& file, const Bytes& record) {
  Bytes held(record.size());
  if (file.size() == content_bytes_ + static_cast<std::int64_t>(record.size())) file.read_at(held, content_bytes_);
  if (held != record) lost("the commit record");
}

void SaveWork::lost(std::string_view what) const {
  throw SystemError(fmt::format("'{}' does not hold {} that was written to it: the disk or file system loses data",
                                partial_.string(), what));
}

CommitRecord SaveWork::make_record(const File& file) {
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

void SaveWork::add_structure(CommitRecord& record, const File& file, std::int64_t begin, std::int64_t end) {
  for (; begin < end; begin += kPieceBytes) {
    const std::span<std::byte> bytes = room(std::min(kPieceBytes, end - begin));
    file.read_at(bytes, begin);
    record.pieces.push_back({begin, static_cast<std::int64_t>(bytes.size()), hash64(bytes), 0});
  }
}

std::span<std::byte> SaveWork::room(std::int64_t bytes) {
  buffer_.resize(static_cast<std::size_t>(std::max(bytes, static_cast<std::int64_t>(buffer_.size()))));
  return std::span(buffer_).first(static_cast<std::size_t>(bytes));
}

}  // namespace weft
