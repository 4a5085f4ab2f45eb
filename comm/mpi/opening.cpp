// Packing and checking of openings.
#include "comm/mpi/opening.hpp"

#include <fmt/format.h>

#include <cstring>

#include "comm/operation_signature.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::int64_t kSignatureBytes = sizeof(OperationSignature);

// With the signature below what MPI libraries send at once through shared memory (4 KiB in Open MPI: beyond it a
// message waits for its receiver, and packing it costs more than a message of its own).
constexpr std::int64_t kMostCarried = 2048;

}  // namespace

bool Opening::carries(std::int64_t bytes) { return bytes <= kMostCarried; }

void Opening::send(int peer, const std::byte* payload, std::int64_t bytes) {
  if (payload != last_payload_ || bytes != last_bytes_) {
    sent_.push_back(std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(kSignatureBytes + bytes)));
    std::memcpy(sent_.back().get(), at_.signature, kSignatureBytes);
    if (bytes > 0) std::memcpy(sent_.back().get() + kSignatureBytes, payload, static_cast<std::size_t>(bytes));
    last_payload_ = payload;
    last_bytes_ = bytes;
  }
  transfers_.send(sent_.back().get(), kSignatureBytes + bytes, peer);
}

void Opening::receive(int peer, std::byte* to, std::int64_t bytes) {
  if (slots_.empty()) slots_.resize(static_cast<std::size_t>(at_.size));
  Slot& slot = slots_[static_cast<std::size_t>(peer)];
  const std::int64_t capacity = kSignatureBytes + kMostCarried;
  slot = {std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(capacity)), to, bytes};
  transfers_.receive_opening(slot.memory.get(), capacity, peer, *this);
}

const std::byte* Opening::payload(int peer) const {
  return slots_[static_cast<std::size_t>(peer)].memory.get() + kSignatureBytes;
}

void Opening::arrived(int peer, int bytes) {
  const Slot& slot = slots_[static_cast<std::size_t>(peer)];
  const int rank = (*at_.world_ranks)[static_cast<std::size_t>(peer)];
  OperationSignature theirs;
  if (bytes >= kSignatureBytes) std::memcpy(&theirs, slot.memory.get(), kSignatureBytes);
  if (bytes < kSignatureBytes || !is_sound(theirs))
    throw SystemError(fmt::format(
        "rank {} sent {} bytes that begin no operation: ranks are not running the same program", rank, bytes));
  if (std::memcmp(&theirs, at_.signature, kSignatureBytes) != 0)
    if (const std::string differs = what_differs(*at_.signature, theirs); !differs.empty())
      throw SystemError(fmt::format(
          "ranks are not running the same program; what differs: {}\n  this rank: #{}, {}\n  rank {}: #{}, {}", differs,
          at_.signature->sequence, at_.signature->str(), rank, theirs.sequence, theirs.str()));
  check_internal(bytes == kSignatureBytes + slot.bytes, "one operation carries two payloads");
  if (slot.to != nullptr && slot.bytes > 0)
    std::memcpy(slot.to, slot.memory.get() + kSignatureBytes, static_cast<std::size_t>(slot.bytes));
}

}  // namespace weft
