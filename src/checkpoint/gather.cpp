// Pieces for rank 0, one after the other.
#include "src/checkpoint/gather.hpp"

#include <algorithm>

#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/exchange.hpp"

namespace weft {

void gather_state(Communicator& comm, const StateTable& table, const std::string& name,
                  const std::function<void(std::int64_t offset, std::span<const std::byte> bytes)>& use) {
  const Shard& shard = table.at(name).shard;
  const TensorType& type = shard.whole;
  PieceExchange exchange(comm, {type}, holders_of(comm, {type}, {&shard}), "gathering '" + name + "'");
  const std::int64_t bytes = type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
  std::vector<std::byte> room(comm.rank() == 0 ? static_cast<std::size_t>(std::min(bytes, kPieceBytes)) : 0);
  for (std::int64_t offset = 0; offset < bytes; offset += kPieceBytes) {
    const StatePiece piece{0, {offset, std::min(kPieceBytes, bytes - offset)}};
    const std::optional<StatePiece> wanted[] = {piece};  // rank 0's
    const auto read = [&](std::size_t, std::int64_t at, std::span<std::byte> to) { table.read_bytes(name, at, to); };
    exchange.gather(wanted, read, room);
    if (comm.rank() == 0) use(offset, std::span(room).first(static_cast<std::size_t>(piece.range.bytes)));
  }
}

Tensor gather_state(Communicator& comm, const StateTable& table, const std::string& name) {
  const TensorType& type = table.at(name).shard.whole;
  Tensor whole = comm.rank() == 0 ? Tensor(type.dtype, type.shape) : Tensor();
  gather_state(comm, table, name, [&](std::int64_t offset, std::span<const std::byte> bytes) {
    std::copy(bytes.begin(), bytes.end(), whole.mutable_data() + offset);
  });
  return whole;
}

}  // namespace weft
