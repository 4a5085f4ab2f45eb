// Communicator: a group of ranks that exchange messages. Every wait has a timeout and names what it waited for.
//
// Collective calls must be made by all ranks of the group in the same order. All `start_*` calls return at once; the
// operation progresses while the caller computes. Counts are elements and may exceed 2^31.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/program.hpp"

namespace weft {

/// Says, for people and for the flight recorder, which operation this is.
struct OperationLabel {
  std::string name;  ///< "all-reduce bucket 3"; of a collective the same on all ranks, which backends compare
  std::int64_t step = 0;
  int sequence = 0;        ///< within the step
  std::string place = {};  ///< in the graph: names of the nodes that it belongs to; "": none
  bool same_name = true;   ///< false where ranks of different roles call one operation by different names
  bool waits = false;      ///< the caller waits for it before it does anything else: no thread need be woken for it
};

/// When an operation was handed over, and when this rank's part of it was done.
struct RequestTimes {
  std::chrono::steady_clock::time_point started, finished;
};

/// An operation in flight. Destroying an unfinished request waits for it (bounded by the timeout).
class Request {
 public:
  virtual ~Request() = default;
  virtual bool done() = 0;
  /// Throws SystemError naming operation, step, sequence and the ranks that did not answer, after the communicator's
  /// timeout or when a peer died.
  virtual void wait() = 0;
  /// Of a finished operation; nothing where nothing was exchanged.
  virtual std::optional<RequestTimes> times() const { return std::nullopt; }
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Position among, and number of, the ranks of this group on the same node.
  virtual int node_rank() const = 0;
  virtual int node_size() const = 0;

  /// Whether the backend takes this operation on memory of this space; `reason` is set when it does not.
  virtual bool accepts(CollectiveKind kind, MemorySpace space, DType type, std::string* reason) const = 0;

  /// Buffers must stay valid until the request is done. In place when `from == to`. bf16 and f16 sums accumulate in
  /// f32.
  virtual std::unique_ptr<Request> start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count,
                                                    DType type, ReduceKind kind, OperationLabel label) = 0;
  /// `to` holds size() parts of `count` elements, in rank order.
  virtual std::unique_ptr<Request> start_all_gather(const std::byte* from, std::byte* to, std::int64_t count,
                                                    DType type, OperationLabel label) = 0;
  /// `from` holds size() parts of `count` elements; part r arrives reduced at rank r.
  virtual std::unique_ptr<Request> start_reduce_scatter(const std::byte* from, std::byte* to, std::int64_t count,
                                                        DType type, ReduceKind kind, OperationLabel label) = 0;
  virtual std::unique_ptr<Request> start_all_to_all(const std::byte* from, std::byte* to, std::int64_t count,
                                                    DType type, OperationLabel label) = 0;
  virtual std::unique_ptr<Request> start_broadcast(std::byte* data, std::int64_t bytes, int root,
                                                   OperationLabel label) = 0;
  virtual std::unique_ptr<Request> start_send(const std::byte* data, std::int64_t bytes, int to,
                                              OperationLabel label) = 0;
  virtual std::unique_ptr<Request> start_receive(std::byte* data, std::int64_t bytes, int from,
                                                 OperationLabel label) = 0;

  /// Collective. Ranks with equal `color` form a new group, ordered by `key`, then by rank.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;
  /// What messages and records call this group from now on: "data".
  virtual void set_name(std::string_view) {}
};

/// The communicator of a process that was started alone: size 1, every operation a local copy.
std::unique_ptr<Communicator> make_single_communicator();

// Blocking conveniences over any Communicator. All are collective.
void barrier(Communicator& comm, std::string_view what);
/// Every rank's bytes, in rank order; lengths may differ.
std::vector<std::vector<std::byte>> gather_bytes(Communicator& comm, std::span<const std::byte> mine,
                                                 std::string_view what);
/// Rank `root`'s bytes on every rank; the length is sent first.
std::vector<std::byte> broadcast_bytes(Communicator& comm, std::span<const std::byte> data, int root,
                                       std::string_view what);

}  // namespace weft
