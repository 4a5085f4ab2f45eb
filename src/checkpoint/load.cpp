// Verifying and reading one file, and finding the newest sound one.
#include "src/checkpoint/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/layout.hpp"
#include "src/checkpoint/verify.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void damaged(const std::string& what, std::int64_t offset, std::int64_t length) {
  throw UserError(fmt::format("it is damaged: the checksum of {} does not match at bytes {} to {}", what, offset,
                              offset + length - 1));
}

/// Everything that HDF5 will parse is checked before it is parsed.
void verify_structure(const File& file, const CommitRecord& record) {
  std::vector<std::byte> buffer;
  for (const Piece& piece : record.pieces) {
    if (record.names[piece.name] != kStructure) continue;
    buffer.resize(static_cast<std::size_t>(piece.length));
    file.read_at(buffer, piece.offset);
    if (hash64(buffer) != piece.hash) damaged("the HDF5 structure", piece.offset, piece.length);
  }
}

/// The record's pieces as bytes of states. Throws UserError where they are not those of the datasets, all and once.
std::vector<CheckpointPiece> pieces_of(const CommitRecord& record, const Description& description) {
  std::map<std::string, std::size_t> states;
  for (std::size_t i = 0; i < description.states.size(); ++i) states[description.states[i].extent.path] = i;
  std::vector<std::int64_t> covered(description.states.size(), 0);
  std::vector<CheckpointPiece> pieces;
  for (const Piece& piece : record.pieces) {
    const std::string& name = record.names[piece.name];
    if (name == kStructure) continue;
    const auto state = states.find(name);
    const bool known = state != states.end();
    const Extent extent = known ? description.states[state->second].extent : Extent{};
    std::int64_t* done = known ? &covered[state->second] : nullptr;
    if (!known || piece.offset != extent.offset + *done || piece.length > extent.bytes - *done)
      throw UserError(fmt::format("its commit record and its dataset '{}' do not match", name));
    pieces.push_back({static_cast<std::int64_t>(state->second), *done, piece.offset, piece.length, piece.hash});
    *done += piece.length;
  }
  for (std::size_t i = 0; i < covered.size(); ++i)
    if (covered[i] != description.states[i].extent.bytes)
      throw UserError(
          fmt::format("its commit record does not cover its dataset '{}'", description.states[i].extent.path));
  std::sort(pieces.begin(), pieces.end(), [](const CheckpointPiece& a, const CheckpointPiece& b) {
    return std::pair(a.state, a.offset) < std::pair(b.state, b.offset);
  });
  return pieces;
}

LoadedCheckpoint read_structure(FileSystem& files, const fs::path& path) {
  const auto file = files.open(path, OpenMode::read);
  const CommitRecord record = read_commit_record(*file);
  verify_structure(*file, record);
  Description description = describe(path);
  LoadedCheckpoint checkpoint{path, {}, {}, file->size(), pieces_of(record, description)};
  checkpoint.meta = std::move(description.meta);
  for (const DescribedState& state : description.states)
    checkpoint.states.push_back({state.key.name, state.key.role, state.type, Tensor()});
  return checkpoint;
}

/// UserErrors say which file they are about.
template <class Work>
auto about(const fs::path& path, const Work& work) {
  try {
    return work();
  } catch (const UserError& error) {
    throw UserError(fmt::format("'{}' cannot be used as a checkpoint: {}", path.string(), error.what()));
  }
}

}  // namespace

bool looks_like_checkpoint(FileSystem& files, const fs::path& path) {
  const auto file = files.open(path, OpenMode::read);
  std::string head(static_cast<std::size_t>(std::min<std::int64_t>(file->size(), 64 << 10)), '\0');
  file->read_at(std::as_writable_bytes(std::span(head)), 0);
  return head.starts_with("\x89HDF\r\n\x1a\n") && head.find(kFormatName) != std::string::npos;
}

LoadedCheckpoint describe_unchecked(FileSystem& files, const fs::path& path) {
  return about(path, [&] { return read_structure(files, path); });
}

void check_pieces(FileSystem& files, const LoadedCheckpoint& checkpoint, std::span<const CheckpointPiece> pieces,
                  const std::function<void(const CheckpointPiece&, std::span<const std::byte>)>& use) {
  if (pieces.empty()) return;
  about(checkpoint.path, [&] {
    const auto file = files.open(checkpoint.path, OpenMode::read);
    std::vector<std::byte> buffer;
    for (const CheckpointPiece& piece : pieces) {
      buffer.resize(static_cast<std::size_t>(piece.length));
      file->read_at(buffer, piece.file_offset);
      if (hash64(buffer) != piece.hash) {
        const LoadedState& state = checkpoint.states[static_cast<std::size_t>(piece.state)];
        damaged(fmt::format("dataset '{}'", dataset_path(state.name, state.role)), piece.file_offset, piece.length);
      }
      if (use) use(piece, buffer);
    }
  });
}

LoadedCheckpoint load_checkpoint(FileSystem& files, const fs::path& path) {
  LoadedCheckpoint checkpoint = describe_unchecked(files, path);
  for (LoadedState& state : checkpoint.states) state.value = Tensor(state.type.dtype, state.type.shape);
  check_pieces(files, checkpoint, checkpoint.pieces,
               [&](const CheckpointPiece& piece, std::span<const std::byte> bytes) {
                 Tensor& value = checkpoint.states[static_cast<std::size_t>(piece.state)].value;
                 std::copy(bytes.begin(), bytes.end(), value.mutable_data() + piece.offset);
               });
  return checkpoint;
}

LoadedCheckpoint describe_checkpoint(FileSystem& files, const fs::path& path) {
  LoadedCheckpoint checkpoint = describe_unchecked(files, path);
  check_pieces(files, checkpoint, checkpoint.pieces, {});
  return checkpoint;
}

void check_step(const LoadedCheckpoint& checkpoint, std::int64_t step) {
  if (checkpoint.meta.step != step)
    throw UserError(fmt::format("it holds step {}: the file was renamed", checkpoint.meta.step));
}

std::optional<FoundCheckpoint> newest_valid(FileSystem& files, const fs::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over) {
  for (const StepFile& candidate : list_checkpoints(files, folder)) {
    try {
      check_step(describe_checkpoint(files, candidate.path), candidate.step);
      return FoundCheckpoint{candidate.step, candidate.path};
    } catch (const InternalError&) {
      throw;
    } catch (const Error& error) {
      passed_over.push_back({candidate.path, error.what()});
    }
  }
  return std::nullopt;
}

}  // namespace weft
