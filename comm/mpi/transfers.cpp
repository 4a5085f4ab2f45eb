// Posting, testing and checking of point-to-point messages.
#include "comm/mpi/transfers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "comm/mpi/opening.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::int64_t kLargestMessage = std::int64_t{1} << 30;  // MPI-3 counts are int

}  // namespace

void check_mpi(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw SystemError(fmt::format("{}: {}", what, std::string_view(text, static_cast<std::size_t>(length))));
}

void Transfers::send(const std::byte* data, std::int64_t bytes, int peer) {
  for (std::int64_t at = 0; at < bytes; at += kLargestMessage) {
    const int n = static_cast<int>(std::min(kLargestMessage, bytes - at));
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(data + at, n, MPI_BYTE, peer, endpoint_.tag, endpoint_.comm, &request), "sending");
    requests_.push_back(request);
    expected_.push_back({peer, n, false});
  }
}

void Transfers::receive(std::byte* data, std::int64_t bytes, int peer) {
  for (std::int64_t at = 0; at < bytes; at += kLargestMessage) {
    const int n = static_cast<int>(std::min(kLargestMessage, bytes - at));
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Irecv(data + at, n, MPI_BYTE, peer, endpoint_.tag, endpoint_.comm, &request), "receiving");
    requests_.push_back(request);
    expected_.push_back({peer, n, true});
  }
}

void Transfers::receive_within(std::byte* data, std::int64_t bytes, std::int64_t capacity, int peer) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(data, static_cast<int>(capacity), MPI_BYTE, peer, endpoint_.tag, endpoint_.comm, &request),
            "receiving");
  requests_.push_back(request);
  expected_.push_back({peer, static_cast<int>(bytes), true});
}

void Transfers::receive_opening(std::byte* data, std::int64_t capacity, int peer, Opening& opening) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(data, static_cast<int>(capacity), MPI_BYTE, peer, endpoint_.tag, endpoint_.comm, &request),
            "receiving");
  requests_.push_back(request);
  expected_.push_back({peer, static_cast<int>(capacity), true, &opening});
}

bool Transfers::test() {
  if (requests_.empty()) return true;
  const std::size_t n = requests_.size();
  finished_.resize(n);
  statuses_.resize(n);
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(n), requests_.data(), &count, finished_.data(), statuses_.data());
  if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) check_mpi(code, "testing messages");
  if (count == MPI_UNDEFINED) count = 0;
  // A peer in another operation is to be named by its opening, not by what follows and fits even less.
  for (const bool opening : {true, false})
    for (int k = 0; k < count; ++k) {
      const Expected& e = expected_[static_cast<std::size_t>(finished_[static_cast<std::size_t>(k)])];
      if ((e.opening != nullptr) == opening)
        check(e, statuses_[static_cast<std::size_t>(k)], code == MPI_ERR_IN_STATUS);
    }
  if (count != 0) forget_finished();
  return requests_.empty();
}

void Transfers::check(const Expected& e, const MPI_Status& status, bool error_in_status) const {
  int error_class = MPI_SUCCESS;
  if (error_in_status) MPI_Error_class(status.MPI_ERROR, &error_class);
  int received = e.bytes;
  if (e.receive && error_class == MPI_SUCCESS) MPI_Get_count(&status, MPI_BYTE, &received);
  if (e.opening != nullptr && error_class == MPI_SUCCESS) return e.opening->arrived(e.peer, received);
  const int rank = (*endpoint_.world_ranks)[static_cast<std::size_t>(e.peer)];
  if (error_class == MPI_ERR_TRUNCATE || received != e.bytes)
    throw SystemError(
        fmt::format("rank {} sent {} where {} bytes were expected: ranks are not running the same program", rank,
                    error_class == MPI_ERR_TRUNCATE ? "more" : fmt::format("{}", received), e.bytes));
  if (error_class != MPI_SUCCESS) check_mpi(status.MPI_ERROR, fmt::format("exchanging data with rank {}", rank));
}

void Transfers::forget_finished() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    requests_[kept] = requests_[i];
    expected_[kept++] = expected_[i];
  }
  requests_.resize(kept);
  expected_.resize(kept);
}

std::vector<int> Transfers::pending_peers() const {
  std::vector<int> peers;
  for (const Expected& e : expected_) peers.push_back(e.peer);
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

Schedule::Progress Schedule::advance() {
  promise_type& promise = handle_.promise();
  for (Progress made = Progress::none;; made = Progress::some) {
    if (promise.awaited && !promise.awaited->test()) return made;
    promise.awaited = nullptr;
    handle_.resume();
    if (!handle_.done()) continue;
    if (promise.error) std::rethrow_exception(promise.error);
    return Progress::finished;
  }
}

std::vector<int> Schedule::pending_peers() const {
  return handle_ && handle_.promise().awaited ? handle_.promise().awaited->pending_peers() : std::vector<int>{};
}

}  // namespace weft
