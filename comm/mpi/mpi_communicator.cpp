// Tags: 0 opens messages, which MPI matches in order; collectives take 1, 2, … in turn, up to half of what there is,
// and what messages hold beside their openings takes the other half.
#include "comm/mpi/mpi_communicator.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

class MpiRequest final : public Request {
 public:
  MpiRequest(std::shared_ptr<CommThread> thread, std::shared_ptr<Operation> operation)
      : thread_(std::move(thread)), operation_(std::move(operation)) {}
  ~MpiRequest() override {
    // The buffers may go once we return. A failure was, or will be, reported by the next operation.
    try {
      if (!operation_->finished.load(std::memory_order_acquire)) thread_->wait(*operation_);
    } catch (...) {
    }
  }
  bool done() override { return operation_->finished.load(std::memory_order_acquire); }
  void wait() override { thread_->wait(*operation_); }
  std::optional<RequestTimes> times() const override {
    if (!operation_->finished.load(std::memory_order_acquire)) return std::nullopt;
    return operation_->times;
  }

 private:
  std::shared_ptr<CommThread> thread_;
  std::shared_ptr<Operation> operation_;
};

std::int64_t bytes_of(std::int64_t count, DType type, const OperationLabel& label) {
  check_internal(count >= 0, "negative count in collective '" + label.name + "'");
  return count * static_cast<std::int64_t>(size_of(type));
}

}  // namespace

MpiCommunicator::MpiCommunicator(std::shared_ptr<CommThread> thread, Group group)
    : thread_(std::move(thread)),
      group_(std::move(group)),
      sent_to_(group_.world_ranks.size()),
      got_from_(group_.world_ranks.size()) {
  const auto begin = group_.nodes.begin();
  const int node = group_.nodes[static_cast<std::size_t>(group_.rank)];
  node_rank_ = static_cast<int>(std::count(begin, begin + group_.rank, node));
  node_size_ = static_cast<int>(std::count(begin, group_.nodes.end(), node));
}

bool MpiCommunicator::accepts(CollectiveKind, MemorySpace space, DType, std::string* reason) const {
  if (space != MemorySpace::device) return true;
  if (reason) *reason = "MPI carries host buffers only here: copy device memory to pinned host memory first";
  return false;
}

std::unique_ptr<Request> MpiCommunicator::start(std::shared_ptr<Operation> operation, int tag, int payload_tag,
                                                const MakeSchedule& make) {
  operation->world_ranks = group_.world_ranks;
  operation->group_name = group_.name;
  operation->signature.group = group_.id;
  operation->schedule =
      make({group_.comm, group_.rank, size(), tag, payload_tag, &operation->signature, &operation->world_ranks});
  thread_->submit(operation);
  return std::make_unique<MpiRequest>(thread_, std::move(operation));
}

std::unique_ptr<Request> MpiCommunicator::start_collective(OperationSignature signature, OperationLabel label,
                                                           const MakeSchedule& make) {
  auto operation = std::make_shared<Operation>();
  operation->label = std::move(label);
  operation->signature = signature;
  const int third = group_.largest_tag / 3;
  const int tag = 1 + static_cast<int>(operations_ % static_cast<std::uint64_t>(third));
  operation->signature.sequence = ++operations_;
  return start(std::move(operation), tag, third + tag, make);
}

std::unique_ptr<Request> MpiCommunicator::start_message(bool sends, int peer, std::int64_t bytes, OperationLabel label,
                                                        const MakeSchedule& make) {
  bytes_of(bytes, DType::u8, label);
  check_internal(peer >= 0 && peer < size() && peer != group_.rank,
                 fmt::format("'{}' on rank {} names peer {} in a group of {}", label.name, group_.rank, peer, size()));
  auto operation = std::make_shared<Operation>();
  operation->signature = make_signature(CollectiveKind::send, bytes, DType::u8, ReduceKind::sum, -1, label);
  operation->label = std::move(label);
  const auto at = static_cast<std::size_t>(peer);
  operation->signature.sequence = sends ? ++sent_to_[at] : ++got_from_[at];
  operation->peer = group_.world_ranks[at];
  operation->sends = sends;
  const int third = group_.largest_tag / 3;
  const int tag =
      2 * third + 1 + static_cast<int>(operation->signature.sequence % static_cast<std::uint64_t>(third - 1));
  return start(std::move(operation), 0, tag, make);
}

std::unique_ptr<Request> MpiCommunicator::start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count,
                                                           DType type, ReduceKind kind, OperationLabel label) {
  bytes_of(count, type, label);
  const auto signature = make_signature(CollectiveKind::all_reduce, count, type, kind, -1, label);
  return start_collective(signature, std::move(label),
                          [=](const Endpoint& at) { return all_reduce(at, from, to, count, type, kind); });
}

std::unique_ptr<Request> MpiCommunicator::start_all_gather(const std::byte* from, std::byte* to, std::int64_t count,
                                                           DType type, OperationLabel label) {
  const std::int64_t bytes = bytes_of(count, type, label);
  const auto signature = make_signature(CollectiveKind::all_gather, count, type, ReduceKind::sum, -1, label);
  return start_collective(signature, std::move(label),
                          [=](const Endpoint& at) { return all_gather(at, from, to, bytes); });
}

std::unique_ptr<Request> MpiCommunicator::start_reduce_scatter(const std::byte* from, std::byte* to, std::int64_t count,
                                                               DType type, ReduceKind kind, OperationLabel label) {
  bytes_of(count, type, label);
  const auto signature = make_signature(CollectiveKind::reduce_scatter, count, type, kind, -1, label);
  return start_collective(signature, std::move(label),
                          [=](const Endpoint& at) { return reduce_scatter(at, from, to, count, type, kind); });
}

std::unique_ptr<Request> MpiCommunicator::start_all_to_all(const std::byte* from, std::byte* to, std::int64_t count,
                                                           DType type, OperationLabel label) {
  const std::int64_t bytes = bytes_of(count, type, label);
  const auto signature = make_signature(CollectiveKind::all_to_all, count, type, ReduceKind::sum, -1, label);
  return start_collective(signature, std::move(label),
                          [=](const Endpoint& at) { return all_to_all(at, from, to, bytes); });
}

std::unique_ptr<Request> MpiCommunicator::start_broadcast(std::byte* data, std::int64_t bytes, int root,
                                                          OperationLabel label) {
  check_internal(root >= 0 && root < size(),
                 fmt::format("'{}' broadcasts from rank {} in a group of {}", label.name, root, size()));
  bytes_of(bytes, DType::u8, label);
  const auto signature = make_signature(CollectiveKind::broadcast, bytes, DType::u8, ReduceKind::sum, root, label);
  return start_collective(signature, std::move(label),
                          [=](const Endpoint& at) { return broadcast(at, data, bytes, root); });
}

std::unique_ptr<Request> MpiCommunicator::start_send(const std::byte* data, std::int64_t bytes, int to,
                                                     OperationLabel label) {
  return start_message(true, to, bytes, std::move(label),
                       [=](const Endpoint& at) { return send(at, data, bytes, to); });
}

std::unique_ptr<Request> MpiCommunicator::start_receive(std::byte* data, std::int64_t bytes, int from,
                                                        OperationLabel label) {
  return start_message(false, from, bytes, std::move(label),
                       [=](const Endpoint& at) { return receive(at, data, bytes, from); });
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color, int key) {
  // Who goes where is exchanged first: it also names a rank that does not come, which MPI_Comm_split cannot.
  const std::array<std::int64_t, 2> mine{color, key};
  std::vector<std::array<std::int64_t, 2>> all(static_cast<std::size_t>(size()));
  start_all_gather(reinterpret_cast<const std::byte*>(mine.data()), reinterpret_cast<std::byte*>(all.data()), 2,
                   DType::i64, {"splitting a group of ranks", 0, 0})
      ->wait();
  std::vector<int> members;
  for (int r = 0; r < size(); ++r)
    if (all[static_cast<std::size_t>(r)][0] == color) members.push_back(r);
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return all[static_cast<std::size_t>(a)][1] < all[static_cast<std::size_t>(b)][1];
  });

  Group part;
  part.largest_tag = group_.largest_tag;
  // The position of this split in this group, and its lowest member, make the part's number.
  Hash64 id;
  const std::array<std::uint64_t, 3> origin{group_.id, operations_, static_cast<std::uint64_t>(members.front())};
  id.update(std::as_bytes(std::span(origin)));
  part.id = id.digest();
  for (const int r : members) {
    part.world_ranks.push_back(group_.world_ranks[static_cast<std::size_t>(r)]);
    part.nodes.push_back(group_.nodes[static_cast<std::size_t>(r)]);
  }
  // MPI wants colours that are not negative: the lowest member's rank names a part as well.
  const int mpi_color = *std::min_element(members.begin(), members.end());
  auto made = std::make_shared<std::pair<MPI_Comm, int>>(MPI_COMM_NULL, 0);
  thread_->call("splitting a group of ranks", thread_->timeout(), [made, comm = group_.comm, mpi_color, key] {
    check_mpi(MPI_Comm_split(comm, mpi_color, key, &made->first), "MPI_Comm_split");
    check_mpi(MPI_Comm_rank(made->first, &made->second), "MPI_Comm_rank");
  });
  part.name = fmt::format("ranks {}", fmt::join(part.world_ranks, ", "));
  part.comm = made->first;
  part.rank = made->second;
  return std::make_unique<MpiCommunicator>(thread_, std::move(part));
}

}  // namespace weft
