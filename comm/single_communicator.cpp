// The communicator of a process that was started alone. Every operation is a local copy, done before it returns.
#include <cstring>

#include "weft/communicator.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

class FinishedRequest final : public Request {
 public:
  bool done() override { return true; }
  void wait() override {}
};

class SingleCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int node_rank() const override { return 0; }
  int node_size() const override { return 1; }

  bool accepts(CollectiveKind kind, MemorySpace, DType, std::string* reason) const override {
    if (kind != CollectiveKind::send && kind != CollectiveKind::receive) return true;
    if (reason) *reason = "a group of one rank has no peer to send to";
    return false;
  }

  std::unique_ptr<Request> start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            ReduceKind, OperationLabel) override {
    return copy(from, to, count, type);
  }
  std::unique_ptr<Request> start_all_gather(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            OperationLabel) override {
    return copy(from, to, count, type);
  }
  std::unique_ptr<Request> start_reduce_scatter(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                                ReduceKind, OperationLabel) override {
    return copy(from, to, count, type);
  }
  std::unique_ptr<Request> start_all_to_all(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            OperationLabel) override {
    return copy(from, to, count, type);
  }
  std::unique_ptr<Request> start_broadcast(std::byte*, std::int64_t, int root, OperationLabel label) override {
    check_internal(root == 0, "broadcast in a group of one from a rank that is not there: " + label.name);
    return std::make_unique<FinishedRequest>();
  }
  std::unique_ptr<Request> start_send(const std::byte*, std::int64_t, int, OperationLabel label) override {
    throw InternalError("'" + label.name + "' sends in a group of one rank");
  }
  std::unique_ptr<Request> start_receive(std::byte*, std::int64_t, int, OperationLabel label) override {
    throw InternalError("'" + label.name + "' receives in a group of one rank");
  }

  std::unique_ptr<Communicator> split(int, int) override { return make_single_communicator(); }

 private:
  static std::unique_ptr<Request> copy(const std::byte* from, std::byte* to, std::int64_t count, DType type) {
    if (count > 0 && from != to) std::memmove(to, from, static_cast<std::size_t>(count) * size_of(type));
    return std::make_unique<FinishedRequest>();
  }
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() { return std::make_unique<SingleCommunicator>(); }

}  // namespace weft
