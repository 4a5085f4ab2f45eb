// Rounds of messages between those who hold and those who write or read.
//
// MPI matches messages between two ranks in their order: both go through the ranks' pieces, and each piece's parts, in
// the same order.
#include "src/checkpoint/exchange.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weft/error.hpp"

namespace weft {
namespace {

// Pieces in memory at once on a rank that holds parts of all: what a round may take.
constexpr std::size_t kPiecesAtOnce = 16;
constexpr std::size_t kShardsKept = 64;

}  // namespace

/// A message, with its memory and what it is about.
struct PieceExchange::Transfer {
  std::vector<std::byte> bytes;
  std::unique_ptr<Request> request{};
  const Shard* shard = nullptr;
  StatePiece piece{};
  std::int64_t local_offset = 0;
};

PieceExchange::PieceExchange(Communicator& comm, std::vector<TensorType> types, Holders holders, std::string what)
    : comm_(comm), types_(std::move(types)), holders_(std::move(holders)), what_(std::move(what)) {
  check_internal(types_.size() == holders_.size(), "holders of other states");
}

const Shard& PieceExchange::shard(std::size_t state, std::size_t part) {
  const auto key = std::pair(state, part);
  const auto found = shards_.find(key);
  if (found != shards_.end()) return found->second;
  return shards_.emplace(key, shard_from(types_[state], holders_[state][part].kept)).first->second;
}

void PieceExchange::forget_shards() {
  if (shards_.size() > kShardsKept) shards_.clear();
}

template <class Use>
void PieceExchange::each_part(const StatePiece& piece, const Use& use) {
  const std::vector<HeldPart>& parts = holders_[piece.state];
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Shard& part = shard(piece.state, i);
    const ByteRange local = local_range(part, piece.range);
    if (local.bytes != 0) use(parts[i].ranks, part, local);
  }
}

void PieceExchange::gather(std::span<const std::optional<StatePiece>> wanted, const ReadPart& read,
                           std::span<std::byte> mine) {
  const int me = comm_.rank();
  for (std::size_t first = 0; first < wanted.size(); first += kPiecesAtOnce) {
    std::vector<Transfer> sent, received;
    for (std::size_t r = first; r < std::min(first + kPiecesAtOnce, wanted.size()); ++r) {
      if (!wanted[r]) continue;
      const StatePiece& piece = *wanted[r];
      const int owner = static_cast<int>(r);
      std::int64_t covered = 0;
      each_part(piece, [&](const std::vector<int>& ranks, const Shard& part, ByteRange local) {
        // Of several that hold the part: the owner itself, else one after the other.
        const bool has = std::binary_search(ranks.begin(), ranks.end(), owner);
        const auto turn = static_cast<std::size_t>(piece.range.offset / piece.range.bytes) % ranks.size();
        const int source = has ? owner : ranks[turn];
        covered += local.bytes;
        if (owner == me && source == me && local.bytes == piece.range.bytes)
          return read(piece.state, local.offset, mine.first(static_cast<std::size_t>(local.bytes)));
        if (owner != me && source != me) return;
        Transfer transfer{std::vector<std::byte>(static_cast<std::size_t>(local.bytes)), {}, &part, piece, 0};
        if (source == me) read(piece.state, local.offset, transfer.bytes);
        if (owner == me && source == me) return put_part(part, piece.range, transfer.bytes, mine);
        auto& list = owner == me ? received : sent;
        list.push_back(std::move(transfer));
        Transfer& held = list.back();
        const OperationLabel label{what_, 0, 0};
        held.request = owner == me ? comm_.start_receive(held.bytes.data(), local.bytes, source, label)
                                   : comm_.start_send(held.bytes.data(), local.bytes, owner, label);
      });
      check_internal(covered == piece.range.bytes,  // on all ranks alike: none waits for one that has thrown
                     fmt::format("the ranks' parts do not make a whole state of type {}", types_[piece.state].str()));
    }
    for (Transfer& transfer : received) {
      transfer.request->wait();
      put_part(*transfer.shard, transfer.piece.range, transfer.bytes, mine);
    }
    for (Transfer& transfer : sent) transfer.request->wait();
    forget_shards();
  }
}

void PieceExchange::scatter(std::span<const std::optional<StatePiece>> given, std::span<const std::byte> mine,
                            const WritePart& write) {
  const int me = comm_.rank();
  for (std::size_t first = 0; first < given.size(); first += kPiecesAtOnce) {
    std::vector<Transfer> sent, received;
    std::vector<std::unique_ptr<Request>> copies;
    for (std::size_t r = first; r < std::min(first + kPiecesAtOnce, given.size()); ++r) {
      if (!given[r]) continue;
      const StatePiece& piece = *given[r];
      const int owner = static_cast<int>(r);
      each_part(piece, [&](const std::vector<int>& ranks, const Shard& part, ByteRange local) {
        const OperationLabel label{what_, 0, 0};
        if (owner != me) {
          if (!std::binary_search(ranks.begin(), ranks.end(), me)) return;
          received.push_back(
              {std::vector<std::byte>(static_cast<std::size_t>(local.bytes)), {}, &part, piece, local.offset});
          received.back().request = comm_.start_receive(received.back().bytes.data(), local.bytes, owner, label);
          return;
        }
        sent.push_back({std::vector<std::byte>(static_cast<std::size_t>(local.bytes)), {}, &part, piece, 0});
        take_part(part, piece.range, mine.first(static_cast<std::size_t>(piece.range.bytes)), sent.back().bytes);
        for (const int rank : ranks)
          if (rank == me)
            write(piece.state, local.offset, sent.back().bytes);
          else
            copies.push_back(comm_.start_send(sent.back().bytes.data(), local.bytes, rank, label));
      });
    }
    for (Transfer& transfer : received) {
      transfer.request->wait();
      write(transfer.piece.state, transfer.local_offset, transfer.bytes);
    }
    for (const auto& copy : copies) copy->wait();
    forget_shards();
  }
}

}  // namespace weft
