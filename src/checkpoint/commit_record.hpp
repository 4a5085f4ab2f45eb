// The commit record: the last bytes of a checkpoint, written when all else is durable. A file without it is no
// checkpoint.
//
// It cuts the HDF5 content before it into pieces, from byte 0 without a gap, and holds the hash of each and of itself:
// no bit of the file can change unnoticed, and the piece that changed is named. All numbers are 64-bit little-endian:
//
//   pieces    offset, length, XXH64, index into names     one quadruple a piece
//   names     texts, each ended by a zero byte            a dataset's path, or "file structure"
//   footer    bytes of HDF5 content, number of pieces, bytes of names, format, "weft-checkpoint\0", XXH64 of the record
//             before it
//
// HDF5 readers do not look beyond the content that their superblock declares.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"

namespace weft {

/// A run of bytes of the file.
struct Piece {
  std::int64_t offset = 0, length = 0;
  std::uint64_t hash = 0;
  std::size_t name = 0;  ///< index into CommitRecord::names

  bool operator==(const Piece&) const = default;
};

struct CommitRecord {
  std::vector<Piece> pieces;  ///< ascending, without gaps, from 0 to content_bytes()
  std::vector<std::string> names;

  std::int64_t content_bytes() const { return pieces.empty() ? 0 : pieces.back().offset + pieces.back().length; }
};

/// The longest piece that is written; a reader holds one at a time.
inline constexpr std::int64_t kPieceBytes = 4 << 20;
inline constexpr const char* kStructure = "file structure";
/// Also the value of the root attribute "format": it tells a damaged checkpoint from another HDF5 file.
inline constexpr const char* kFormatName = "weft-checkpoint";

std::vector<std::byte> encode(const CommitRecord& record);

/// Reads and checks the record of an open file, but not yet the pieces. Throws UserError saying what the file is
/// instead: empty, no HDF5 file, an HDF5 file of something else, truncated, damaged, or of a newer format.
CommitRecord read_commit_record(const File& file);

}  // namespace weft
