// Transfers: the messages of one round of a collective: posted together, tested together.
//
// Schedule: a collective written as a coroutine that posts transfers and awaits them. The communication thread resumes
// it; nothing in it blocks.
#pragma once

#include <mpi.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

namespace weft {

/// Throws SystemError with MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, std::string_view what);

struct OperationSignature;
class Opening;

/// Where messages go: one communicator, one tag an operation, so that overlapping operations cannot mix. What it points
/// to belongs to the operation.
struct Endpoint {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int tag = 0;
  int payload_tag = 0;  ///< of a message: for what its opening does not carry; of a collective: for what is small
  const OperationSignature* signature = nullptr;
  const std::vector<int>* world_ranks = nullptr;  ///< by rank of the group, to name peers
};

class Transfers {
 public:
  explicit Transfers(Endpoint endpoint) : endpoint_(endpoint) {}
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  /// Posts at once; messages above 1 GiB travel in pieces, in order. Nothing is sent for 0 bytes.
  void send(const std::byte* data, std::int64_t bytes, int peer);
  void receive(std::byte* data, std::int64_t bytes, int peer);
  /// The same into memory of `capacity` bytes, for messages that might be longer than expected: these are an error.
  void receive_within(std::byte* data, std::int64_t bytes, std::int64_t capacity, int peer);
  /// Of any length up to `capacity`; told to `opening` when it has arrived, before any other message is looked at.
  void receive_opening(std::byte* data, std::int64_t capacity, int peer, Opening& opening);

  /// True once all have completed. Throws SystemError when MPI fails or a message has not the length expected.
  bool test();
  /// Peers with messages still under way, ascending.
  std::vector<int> pending_peers() const;

 private:
  struct Expected {
    int peer;
    int bytes;
    bool receive;
    Opening* opening = nullptr;
  };
  void check(const Expected& expected, const MPI_Status& status, bool error_in_status) const;
  void forget_finished();

  Endpoint endpoint_;
  std::vector<MPI_Request> requests_;
  std::vector<Expected> expected_;  ///< parallel to requests_
  std::vector<int> finished_;       ///< scratch of test()
  std::vector<MPI_Status> statuses_;
};

class Schedule {
 public:
  struct promise_type {
    Transfers* awaited = nullptr;
    std::exception_ptr error;

    Schedule get_return_object() { return Schedule(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }

    struct Awaiter {
      Transfers* transfers;
      promise_type* promise;
      // Always suspends: advance() tests. A failure must not unwind the coroutine, for MPI still knows its scratch.
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) { promise->awaited = transfers; }
      void await_resume() const noexcept {}
    };
    Awaiter await_transform(Transfers& transfers) { return {&transfers, this}; }
  };

  Schedule() = default;
  explicit Schedule(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Schedule(Schedule&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Schedule& operator=(Schedule&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Schedule() {
    if (handle_) handle_.destroy();
  }

  enum class Progress { none, some, finished };
  /// Goes as far as it can without waiting. Rethrows what the coroutine threw.
  Progress advance();
  /// Peers that it is waiting for.
  std::vector<int> pending_peers() const;

 private:
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace weft
