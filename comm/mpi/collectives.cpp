// Collective schedules. Within one operation all ranks post their messages in the same order, so one tag is enough:
// MPI keeps the order of messages between two ranks.
#include "comm/mpi/collectives.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>

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

Schedule whole_exchange(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                        ReduceKind kind) {
  const std::int64_t bytes = count * static_cast<std::int64_t>(size_of(type));
  Inbox inbox(at, bytes);
  inbox.receive(bytes);
  for (int k = 1; k < at.size; ++k) inbox.transfers.send(from, bytes, peer(at, k));
  co_await inbox.transfers;
  inbox.reduce(from, to, count, type, kind);
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

  const auto scatter = [&](std::int64_t w) {
    const Window now = window(w);
    Inbox& inbox = inboxes[static_cast<std::size_t>(w % 2)];
    inbox.receive(now.part_count(at.rank) * size);
    for (int k = 1; k < at.size; ++k) {
      const int to_rank = peer(at, k);
      inbox.transfers.send(from + now.part_begin(to_rank) * size, now.part_count(to_rank) * size, to_rank);
    }
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

  scatter(0);
  for (std::int64_t w = 0; w < windows; ++w) {
    if (w + 1 < windows) scatter(w + 1);
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
  if (at.size == 1 || count == 0) return local_copy(from, to, bytes);
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
  const auto exchange = [&](std::int64_t p) {
    Inbox& inbox = inboxes[static_cast<std::size_t>(p % 2)];
    inbox.receive(elements(p) * size);
    for (int k = 1; k < at.size; ++k) {
      const int r = peer(at, k);
      inbox.transfers.send(from + (r * count + p * piece) * size, elements(p) * size, r);
    }
  };
  if (pieces > 0) exchange(0);
  for (std::int64_t p = 0; p < pieces; ++p) {
    if (p + 1 < pieces) exchange(p + 1);
    Inbox& inbox = inboxes[static_cast<std::size_t>(p % 2)];
    co_await inbox.transfers;
    inbox.reduce(from + (at.rank * count + p * piece) * size, to + p * piece * size, elements(p), type, kind);
  }
}

Schedule all_gather(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes) {
  std::byte* mine = to + at.rank * bytes;
  copy_bytes(mine, from, bytes);
  Transfers transfers(at);
  for (int k = 1; k < at.size; ++k) {
    const int r = peer(at, k);
    transfers.receive(to + r * bytes, bytes, r);
    transfers.send(mine, bytes, r);
  }
  co_await transfers;
}

Schedule all_to_all(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes) {
  // In place, what is to be sent would be overwritten by what arrives.
  std::vector<std::byte> aside;
  if (from == to) {
    aside.assign(from, from + bytes * at.size);
    from = aside.data();
  }
  Transfers transfers(at);
  for (int k = 1; k < at.size; ++k) {
    const int r = peer(at, k);
    transfers.receive(to + r * bytes, bytes, r);
    transfers.send(from + r * bytes, bytes, r);
  }
  copy_bytes(to + at.rank * bytes, from + at.rank * bytes, bytes);
  co_await transfers;
}

// Ranks are numbered from the root. The lowest set bit of a number names its parent (number without that bit); its
// children are the number plus each lower power of two.
Schedule broadcast(Endpoint at, std::byte* data, std::int64_t bytes, int root) {
  const int number = (at.rank - root + at.size) % at.size;
  const auto rank_of = [=](int n) { return (n + root) % at.size; };
  int low_bit = 1;
  while (low_bit < at.size && !(number & low_bit)) low_bit <<= 1;

  const std::int64_t piece = std::max<std::int64_t>(4 * kPieceBytes, bytes / 64 + 1);
  Transfers outgoing(at);
  for (std::int64_t begin = 0; begin < bytes; begin += piece) {
    const std::int64_t n = std::min(piece, bytes - begin);
    if (number != 0) {
      Transfers incoming(at);
      incoming.receive(data + begin, n, rank_of(number - low_bit));
      co_await incoming;
    }
    for (int bit = low_bit >> 1; bit > 0; bit >>= 1)
      if (number + bit < at.size) outgoing.send(data + begin, n, rank_of(number + bit));
  }
  co_await outgoing;
}

Schedule send(Endpoint at, const std::byte* data, std::int64_t bytes, int to) {
  Transfers transfers(at);
  transfers.send(data, bytes, to);
  co_await transfers;
}

Schedule receive(Endpoint at, std::byte* data, std::int64_t bytes, int from) {
  Transfers transfers(at);
  transfers.receive(data, bytes, from);
  co_await transfers;
}

}  // namespace weft
