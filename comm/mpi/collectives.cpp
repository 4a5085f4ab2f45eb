// Collective schedules. Within one operation all ranks post their messages in the same order, so one tag is enough:
// MPI keeps the order of messages between two ranks.
//
// Nothing but openings is received before those of all peers have come and agree: a message that is longer than its
// receiver expects is no harmless error (Open MPI 4.1 writes all of it through shared memory). Sends need not wait.
// Small arrays have a tag of their own, so that memory for the largest of them is enough, and they need not wait
// either.
#include "comm/mpi/collectives.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>

#include "comm/mpi/opening.hpp"
#include "comm/reduce.hpp"

namespace weft {
namespace {

void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, static_cast<std::size_t>(bytes));
}

// The k-th peer to talk to: every rank begins with its right neighbour, so that not all send to rank 0 first.
int peer(const Endpoint& at, int k) { return (at.rank + k) % at.size; }

// Pieces of one range from every peer, received aside and reduced with our own in rank order.
class Inbox {
 public:
  Inbox(Endpoint at, std::int64_t capacity)
      : transfers(at),
        at_(at),
        capacity_(capacity),
        scratch_(std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(capacity * (at.size - 1)))) {}

  void receive(std::int64_t bytes) {
    for (int k = 1; k < at_.size; ++k) transfers.receive(slot(peer(at_, k)), bytes, peer(at_, k));
  }
  void receive_within_capacity(std::int64_t bytes) {
    for (int k = 1; k < at_.size; ++k) transfers.receive_within(slot(peer(at_, k)), bytes, capacity_, peer(at_, k));
  }
  void reduce(const std::byte* own, std::byte* to, std::int64_t count, DType type, ReduceKind kind) {
    std::vector<const std::byte*> sources(static_cast<std::size_t>(at_.size));
    for (int r = 0; r < at_.size; ++r) sources[static_cast<std::size_t>(r)] = r == at_.rank ? own : slot(r);
    reduce_sources(sources, to, count, type, kind);
  }

  Transfers transfers;

 private:
  std::byte* slot(int rank) { return scratch_.get() + capacity_ * (rank < at_.rank ? rank : rank - 1); }

  Endpoint at_;
  std::int64_t capacity_;
  std::unique_ptr<std::byte[]> scratch_;
};

// One window of an all-reduce: elements [begin, begin + count), of which rank r reduces part r.
struct Window {
  std::int64_t begin, count;
  int ranks;
  std::int64_t part_begin(int r) const { return begin + count * r / ranks; }
  std::int64_t part_count(int r) const { return part_begin(r + 1) - part_begin(r); }
};

// The signature goes to and comes from every peer.
void open_with_all(const Endpoint& at, Opening& opening) {
  for (int k = 1; k < at.size; ++k) opening.receive(peer(at, k));
  for (int k = 1; k < at.size; ++k) opening.send(peer(at, k));
}

// Up to kWholeExchangeBytes in all, or fewer elements than ranks.
std::int64_t largest_whole(int ranks) {
  return std::max<std::int64_t>(kWholeExchangeBytes / (ranks - 1), 8 * std::int64_t{ranks});
}

Schedule whole_exchange(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                        ReduceKind kind) {
  const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
  Transfers openings(at);
  Opening opening(at, openings);
  open_with_all(at, opening);
  at.tag = at.payload_tag;
  Inbox inbox(at, largest_whole(at.size));
  inbox.receive_within_capacity(bytes);
  for (int k = 1; k < at.size; ++k) inbox.transfers.send(from, bytes, peer(at, k));
  co_await openings;
  co_await inbox.transfers;
  inbox.reduce(from, to, count, type, kind);
}

// The same, of so little that it travels with the signature.
Schedule carried_exchange(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                          ReduceKind kind) {
  const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
  Transfers transfers(at);
  Opening opening(at, transfers);
  for (int k = 1; k < at.size; ++k) opening.receive(peer(at, k), nullptr, bytes);
  for (int k = 1; k < at.size; ++k) opening.send(peer(at, k), from, bytes);
  co_await transfers;
  std::vector<const std::byte*> sources(static_cast<std::size_t>(at.size));
  for (int r = 0; r < at.size; ++r) sources[static_cast<std::size_t>(r)] = r == at.rank ? from : opening.payload(r);
  reduce_sources(sources, to, count, type, kind);
}

// Reduce-scatter, then all-gather, window by window. While window w is reduced and gathered, the pieces of window
// w + 1 are already on their way.
Schedule windowed_all_reduce(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                             ReduceKind kind) {
  const std::int64_t size = static_cast<std::int64_t>(size_of(type));
  const std::int64_t window_count = std::min(count, at.size * (kPieceBytes / size));
  const std::int64_t windows = (count + window_count - 1) / window_count;
  const std::int64_t capacity = (window_count / at.size + 1) * size;
  const auto window = [=](std::int64_t w) {
    return Window{w * window_count, std::min(window_count, count - w * window_count), at.size};
  };
  std::array<Inbox, 2> inboxes{Inbox(at, capacity), Inbox(at, windows > 1 ? capacity : 0)};
  std::array<Transfers, 2> gathers{Transfers(at), Transfers(at)};
  Transfers openings(at);
  Opening opening(at, openings);
  open_with_all(at, opening);

  const auto send = [&](std::int64_t w) {
    const Window now = window(w);
    for (int k = 1; k < at.size; ++k) {
      const int r = peer(at, k);
      inboxes[static_cast<std::size_t>(w % 2)].transfers.send(from + now.part_begin(r) * size, now.part_count(r) * size,
                                                              r);
    }
  };
  const auto receive = [&](std::int64_t w) {
    inboxes[static_cast<std::size_t>(w % 2)].receive(window(w).part_count(at.rank) * size);
  };
  const auto gather = [&](std::int64_t w) {
    const Window now = window(w);
    Transfers& transfers = gathers[static_cast<std::size_t>(w % 2)];
    for (int k = 1; k < at.size; ++k) {
      const int r = peer(at, k);
      transfers.receive(to + now.part_begin(r) * size, now.part_count(r) * size, r);
      transfers.send(to + now.part_begin(at.rank) * size, now.part_count(at.rank) * size, r);
    }
  };

  send(0);
  co_await openings;
  receive(0);
  for (std::int64_t w = 0; w < windows; ++w) {
    if (w + 1 < windows) {
      receive(w + 1);
      send(w + 1);
    }
    Inbox& inbox = inboxes[static_cast<std::size_t>(w % 2)];
    co_await inbox.transfers;
    const Window now = window(w);
    const std::int64_t mine = now.part_begin(at.rank) * size;
    inbox.reduce(from + mine, to + mine, now.part_count(at.rank), type, kind);
    // Only now may others' results overwrite `to`: in place, the parts of this window have all been sent.
    gather(w);
    if (w > 0) co_await gathers[static_cast<std::size_t>((w - 1) % 2)];
  }
  co_await gathers[static_cast<std::size_t>((windows - 1) % 2)];
}

// A schedule must not be empty-handed: nothing to exchange, perhaps something to copy.
Schedule local_copy(const std::byte* from, std::byte* to, std::int64_t bytes) {
  copy_bytes(to, from, bytes);
  co_return;
}

}  // namespace

Schedule all_reduce(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                    ReduceKind kind) {
  const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
  if (at.size == 1) return local_copy(from, to, bytes);
  if (Opening::carries(bytes)) return carried_exchange(at, from, to, count, type, kind);
  if (bytes * (at.size - 1) <= kWholeExchangeBytes || count < at.size)
    return whole_exchange(at, from, to, count, type, kind);
  return windowed_all_reduce(at, from, to, count, type, kind);
}

Schedule reduce_scatter(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                        ReduceKind kind) {
  const std::int64_t size = static_cast<std::int64_t>(size_of(type));
  const std::int64_t piece = std::min(count, kPieceBytes / size);
  const std::int64_t pieces = count == 0 ? 0 : (count + piece - 1) / piece;
  std::array<Inbox, 2> inboxes{Inbox(at, piece * size), Inbox(at, pieces > 1 ? piece * size : 0)};
  const auto elements = [=](std::int64_t p) { return std::min(piece, count - p * piece); };
  const auto send = [&](std::int64_t p) {
    for (int k = 1; k < at.size; ++k) {
      const int r = peer(at, k);
      inboxes[static_cast<std::size_t>(p % 2)].transfers.send(from + (r * count + p * piece) * size, elements(p) * size,
                                                              r);
    }
  };
  const auto receive = [&](std::int64_t p) { inboxes[static_cast<std::size_t>(p % 2)].receive(elements(p) * size); };
  Transfers openings(at);
  Opening opening(at, openings);
  open_with_all(at, opening);
  if (pieces > 0) send(0);
  co_await openings;
  if (pieces > 0) receive(0);
  for (std::int64_t p = 0; p < pieces; ++p) {
    if (p + 1 < pieces) {
      receive(p + 1);
      send(p + 1);
    }
    Inbox& inbox = inboxes[static_cast<std::size_t>(p % 2)];
    co_await inbox.transfers;
    inbox.reduce(from + (at.rank * count + p * piece) * size, to + p * piece * size, elements(p), type, kind);
  }
}

Schedule all_gather(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes) {
  std::byte* mine = to + at.rank * bytes;
  copy_bytes(mine, from, bytes);
  Transfers openings(at), transfers(at);
  Opening opening(at, openings);
  if (Opening::carries(bytes)) {
    for (int k = 1; k < at.size; ++k) opening.receive(peer(at, k), to + peer(at, k) * bytes, bytes);
    for (int k = 1; k < at.size; ++k) opening.send(peer(at, k), mine, bytes);
    co_await openings;
    co_return;
  }
  open_with_all(at, opening);
  for (int k = 1; k < at.size; ++k) transfers.send(mine, bytes, peer(at, k));
  co_await openings;
  for (int k = 1; k < at.size; ++k) transfers.receive(to + peer(at, k) * bytes, bytes, peer(at, k));
  co_await transfers;
}

Schedule all_to_all(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes) {
  // In place, what is to be sent would be overwritten by what arrives.
  std::vector<std::byte> aside;
  if (from == to) {
    aside.assign(from, from + bytes * at.size);
    from = aside.data();
  }
  Transfers openings(at), transfers(at);
  Opening opening(at, openings);
  open_with_all(at, opening);
  for (int k = 1; k < at.size; ++k) transfers.send(from + peer(at, k) * bytes, bytes, peer(at, k));
  copy_bytes(to + at.rank * bytes, from + at.rank * bytes, bytes);
  co_await openings;
  for (int k = 1; k < at.size; ++k) transfers.receive(to + peer(at, k) * bytes, bytes, peer(at, k));
  co_await transfers;
}

// Ranks are numbered from the root. The lowest set bit of a number names its parent (number without that bit); its
// children are the number plus each lower power of two. Children open towards their parents too: a root that nobody
// listens to, or two of them, would else be done without a word.
Schedule broadcast(Endpoint at, std::byte* data, std::int64_t bytes, int root) {
  const int number = (at.rank - root + at.size) % at.size;
  const auto rank_of = [=](int n) { return (n + root) % at.size; };
  int low_bit = 1;
  while (low_bit < at.size && !(number & low_bit)) low_bit <<= 1;
  std::vector<int> children;
  for (int bit = low_bit >> 1; bit > 0; bit >>= 1)
    if (number + bit < at.size) children.push_back(rank_of(number + bit));

  const std::int64_t carried = Opening::carries(bytes) ? bytes : 0;
  Transfers from_parent(at), with_children(at);
  Opening above(at, from_parent), below(at, with_children);
  for (const int child : children) below.receive(child);
  if (number != 0) {
    const int parent = rank_of(number - low_bit);
    above.receive(parent, data, carried);
    above.send(parent);
    co_await from_parent;
  }
  for (const int child : children) below.send(child, data, carried);

  const std::int64_t piece = std::max<std::int64_t>(4 * kPieceBytes, bytes / 64 + 1);
  for (std::int64_t begin = carried; begin < bytes; begin += piece) {
    const std::int64_t n = std::min(piece, bytes - begin);
    if (number != 0) {
      Transfers incoming(at);
      incoming.receive(data + begin, n, rank_of(number - low_bit));
      co_await incoming;
    }
    for (const int child : children) with_children.send(data + begin, n, child);
  }
  co_await with_children;
}

// The receiver looks at openings in the order sent; what follows one has a tag of its own, so that the next opening can
// be expected meanwhile.
Schedule send(Endpoint at, const std::byte* data, std::int64_t bytes, int to) {
  Transfers openings(at);
  Opening opening(at, openings);
  const bool carried = Opening::carries(bytes);
  opening.send(to, data, carried ? bytes : 0);
  at.tag = at.payload_tag;
  Transfers transfers(at);
  if (!carried) transfers.send(data, bytes, to);
  co_await openings;
  co_await transfers;
}

Schedule receive(Endpoint at, std::byte* data, std::int64_t bytes, int from) {
  Transfers openings(at);
  Opening opening(at, openings);
  const bool carried = Opening::carries(bytes);
  opening.receive(from, data, carried ? bytes : 0);
  co_await openings;
  at.tag = at.payload_tag;
  Transfers transfers(at);
  if (!carried) transfers.receive(data, bytes, from);
  co_await transfers;
}

}  // namespace weft
