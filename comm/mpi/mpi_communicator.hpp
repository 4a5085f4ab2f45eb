// The Communicator over MPI: turns each call into a schedule and hands it to the communication thread.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "comm/mpi/collectives.hpp"
#include "comm/mpi/comm_thread.hpp"
#include "weft/communicator.hpp"

namespace weft {

/// One MPI communicator and who is in it. The handle is freed by MPI_Finalize, not before: freeing is collective, and
/// destructors must not wait for peers.
struct Group {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  std::vector<int> world_ranks;  ///< by rank of this group
  std::vector<int> nodes;        ///< by rank of this group: equal numbers share a node
  int largest_tag = 32767;
  std::uint64_t id = 0;  ///< of no other group of the job, and equal on all members
  std::string name;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<CommThread> thread, Group group);

  int rank() const override { return group_.rank; }
  int size() const override { return static_cast<int>(group_.world_ranks.size()); }
  int node_rank() const override { return node_rank_; }
  int node_size() const override { return node_size_; }

  bool accepts(CollectiveKind kind, MemorySpace space, DType type, std::string* reason) const override;

  std::unique_ptr<Request> start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            ReduceKind kind, OperationLabel label) override;
  std::unique_ptr<Request> start_all_gather(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            OperationLabel label) override;
  std::unique_ptr<Request> start_reduce_scatter(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                                ReduceKind kind, OperationLabel label) override;
  std::unique_ptr<Request> start_all_to_all(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            OperationLabel label) override;
  std::unique_ptr<Request> start_broadcast(std::byte* data, std::int64_t bytes, int root,
                                           OperationLabel label) override;
  std::unique_ptr<Request> start_send(const std::byte* data, std::int64_t bytes, int to, OperationLabel label) override;
  std::unique_ptr<Request> start_receive(std::byte* data, std::int64_t bytes, int from, OperationLabel label) override;

  std::unique_ptr<Communicator> split(int color, int key) override;
  void set_name(std::string_view name) override { group_.name = name; }

 private:
  using MakeSchedule = std::function<Schedule(Endpoint)>;
  /// `s` is a signature but for group and sequence.
  std::unique_ptr<Request> start_collective(OperationSignature s, OperationLabel label, const MakeSchedule& make);
  std::unique_ptr<Request> start_message(bool sends, int peer, std::int64_t bytes, OperationLabel label,
                                         const MakeSchedule& make);
  std::unique_ptr<Request> start(std::shared_ptr<Operation> operation, int tag, int payload_tag,
                                 const MakeSchedule& make);

  std::shared_ptr<CommThread> thread_;
  Group group_;
  int node_rank_ = 0, node_size_ = 1;
  std::uint64_t operations_ = 0;                   ///< collectives started, equal on all ranks: the source of tags
  std::vector<std::uint64_t> sent_to_, got_from_;  ///< messages started, by rank of the group
};

}  // namespace weft
