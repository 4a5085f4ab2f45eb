// Verifying and reading one file, and finding the newest sound one.
#include "src/checkpoint/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/layout.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

/// Reads pieces, checks their hashes, and copies what belongs to a state into its tensor.
class Reader {
 public:
  Reader(const File& file, const CommitRecord& record) : file_(file), record_(record) {}

  /// Everything that HDF5 will parse is checked before it is parsed.
  void verify_structure() {
    for (const Piece& piece : record_.pieces)
      if (record_.names[piece.name] == kStructure) checked(piece);
  }

  /// Checks all other pieces; `destination` gives the tensor bytes of a dataset, by path, or nothing.
  void read_states(const std::map<std::string, LoadedState*>& states, const std::map<std::string, Extent>& extents,
                   bool keep) {
    std::map<std::string, std::int64_t> covered;
    for (const Piece& piece : record_.pieces) {
      const std::string& name = record_.names[piece.name];
      if (name == kStructure) continue;
      const auto extent = extents.find(name);
      if (extent == extents.end() || piece.offset != extent->second.offset + covered[name] ||
          piece.length > extent->second.bytes - covered[name])
        throw UserError(fmt::format("its commit record and its dataset '{}' do not match", name));
      const auto bytes = checked(piece);
      if (keep) std::copy(bytes.begin(), bytes.end(), states.at(name)->value.mutable_data() + covered[name]);
      covered[name] += piece.length;
    }
    for (const auto& [path, extent] : extents)
      if (covered[path] != extent.bytes)
        throw UserError(fmt::format("its commit record does not cover its dataset '{}'", path));
  }

 private:
  std::span<const std::byte> checked(const Piece& piece) {
    buffer_.resize(static_cast<std::size_t>(std::max(piece.length, static_cast<std::int64_t>(buffer_.size()))));
    const auto bytes = std::span(buffer_).first(static_cast<std::size_t>(piece.length));
    file_.read_at(bytes, piece.offset);
    if (hash64(bytes) != piece.hash)
      throw UserError(fmt::format("it is damaged: the checksum of {} does not match at bytes {} to {}",
                                  record_.names[piece.name] == kStructure
                                      ? std::string("the HDF5 structure")
                                      : fmt::format("dataset '{}'", record_.names[piece.name]),
                                  piece.offset, piece.offset + piece.length - 1));
    return bytes;
  }

  const File& file_;
  const CommitRecord& record_;
  std::vector<std::byte> buffer_;
};

LoadedCheckpoint read(FileSystem& files, const fs::path& path, bool keep_values) {
  const auto file = files.open(path, OpenMode::read);
  const CommitRecord record = read_commit_record(*file);
  Reader reader(*file, record);
  reader.verify_structure();
  Description description = describe(path);

  LoadedCheckpoint checkpoint{path, std::move(description.meta), {}, file->size()};
  checkpoint.states.reserve(description.states.size());
  std::map<std::string, LoadedState*> states;
  std::map<std::string, Extent> extents;
  for (const DescribedState& state : description.states) {
    checkpoint.states.push_back({state.key.name, state.key.role, state.type,
                                 keep_values ? Tensor(state.type.dtype, state.type.shape) : Tensor()});
    states[state.extent.path] = &checkpoint.states.back();
    extents[state.extent.path] = state.extent;
  }
  reader.read_states(states, extents, keep_values);
  return checkpoint;
}

LoadedCheckpoint read_named(FileSystem& files, const fs::path& path, bool keep_values) {
  try {
    return read(files, path, keep_values);
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

LoadedCheckpoint load_checkpoint(FileSystem& files, const fs::path& path) { return read_named(files, path, true); }

LoadedCheckpoint describe_checkpoint(FileSystem& files, const fs::path& path) { return read_named(files, path, false); }

std::optional<FoundCheckpoint> newest_valid(FileSystem& files, const fs::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over) {
  for (const StepFile& candidate : list_checkpoints(files, folder)) {
    try {
      const LoadedCheckpoint found = describe_checkpoint(files, candidate.path);
      if (found.meta.step != candidate.step)
        throw UserError(fmt::format("it holds step {}: the file was renamed", found.meta.step));
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
