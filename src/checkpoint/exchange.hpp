// Pieces of whole states: put together from the parts that ranks hold, and handed out to them.
//
// Files are written and read in large contiguous pieces, each by one rank, however states are cut over ranks: a weight
// that is cut by columns has a run of bytes for every row, too small to be written alone, and two ranks that write into
// one page of a network file system may lose each other's bytes. So bytes travel between ranks, and only whole pieces
// to and from files; what is cut for no rank does not travel at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "src/checkpoint/holders.hpp"
#include "weft/communicator.hpp"

namespace weft {

/// A range of bytes of a whole state.
struct StatePiece {
  std::size_t state = 0;
  ByteRange range;
};

class PieceExchange {
 public:
  /// Bytes of this rank's part of a state, from `offset` on.
  using ReadPart = std::function<void(std::size_t state, std::int64_t offset, std::span<std::byte> to)>;
  using WritePart = std::function<void(std::size_t state, std::int64_t offset, std::span<const std::byte> from)>;

  /// `what` says for people what it is for: "checkpoint: save". Throws InternalError where the parts do not make whole
  /// states.
  PieceExchange(Communicator& comm, std::vector<TensorType> types, Holders holders, std::string what);

  /// Collective. `wanted` has, for the first ranks, the piece that each is to have; this rank's comes to `mine`. At
  /// most a piece for each of a few ranks is held at a time.
  void gather(std::span<const std::optional<StatePiece>> wanted, const ReadPart& read, std::span<std::byte> mine);
  /// Collective. The reverse: `given` has, by rank, the piece whose bytes that rank gives, which this rank's `mine`
  /// are. Every rank gets what it holds of them.
  void scatter(std::span<const std::optional<StatePiece>> given, std::span<const std::byte> mine,
               const WritePart& write);

 private:
  struct Transfer;
  /// Of every part that has bytes in the piece: calls with its ranks, its shard and its range.
  template <class Use>
  void each_part(const StatePiece& piece, const Use& use);
  const Shard& shard(std::size_t state, std::size_t part);
  void forget_shards();

  Communicator& comm_;
  std::vector<TensorType> types_;
  Holders holders_;
  std::string what_;
  std::map<std::pair<std::size_t, std::size_t>, Shard> shards_;  ///< of the states of this round
};

}  // namespace weft
