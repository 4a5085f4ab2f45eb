// Opening: the first message between two ranks of an operation: its signature, and the payload where that is small.
//
// Ranks that are not in the same operation so find out from the first message, whatever each of them does next: every
// opening of a group fits the memory that any other member waits with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/mpi/transfers.hpp"

namespace weft {

class Opening {
 public:
  /// Posts into `transfers`: both live until these are done.
  Opening(const Endpoint& at, Transfers& transfers) : at_(at), transfers_(transfers) {}
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

  /// Whether so much travels with the signature.
  static bool carries(std::int64_t bytes);

  /// Payloads are copied at once. 0 bytes: the signature alone.
  void send(int peer, const std::byte* payload = nullptr, std::int64_t bytes = 0);
  /// A payload is copied to `to` when it arrives, unless null; see payload().
  void receive(int peer, std::byte* to = nullptr, std::int64_t bytes = 0);
  /// Of an opening that has arrived.
  const std::byte* payload(int peer) const;

  /// Called by the transfers. Throws SystemError where the peer is in another operation, naming both.
  void arrived(int peer, int bytes);

 private:
  struct Slot {
    std::unique_ptr<std::byte[]> memory;
    std::byte* to = nullptr;
    std::int64_t bytes = 0;
  };
  Endpoint at_;
  Transfers& transfers_;
  std::vector<Slot> slots_;  ///< by peer
  std::vector<std::unique_ptr<std::byte[]>> sent_;
  const std::byte* last_payload_ = nullptr;  ///< of the newest of sent_: equal payloads are packed once
  std::int64_t last_bytes_ = -1;
};

}  // namespace weft
