// Posting, testing and checking of point-to-point messages.
#include "comm/mpi/transfers.hpp"

#include <fmt/format.h>

#include <algorithm>

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

bool Transfers::test() {
  if (requests_.empty()) return true;
  const std::size_t n = requests_.size();
  finished_.resize(n);
  statuses_.resize(n);
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(n), requests_.data(), &count, finished_.data(), statuses_.data());
  if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) check_mpi(code, "testing messages");
  for (int k = 0; k < count && count != MPI_UNDEFINED; ++k) {
    const Expected& e = expected_[static_cast<std::size_t>(finished_[static_cast<std::size_t>(k)])];
    const MPI_Status& status = statuses_[static_cast<std::size_t>(k)];
    int error_class = MPI_SUCCESS;
    if (code == MPI_ERR_IN_STATUS) MPI_Error_class(status.MPI_ERROR, &error_class);
    int received = e.bytes;
    if (e.receive && error_class == MPI_SUCCESS) MPI_Get_count(&status, MPI_BYTE, &received);
    if (error_class == MPI_ERR_TRUNCATE || received != e.bytes)
      throw SystemError(
          fmt::format("rank {} sent {} where {} bytes were expected: ranks are not running the same "
                      "program",
                      e.peer, error_class == MPI_ERR_TRUNCATE ? "more" : fmt::format("{}", received), e.bytes));
    if (error_class != MPI_SUCCESS) check_mpi(status.MPI_ERROR, fmt::format("exchanging data with rank {}", e.peer));
  }
  if (count != 0) forget_finished();
  return requests_.empty();
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
  if (promise.awaited && !promise.awaited->test()) return Progress::none;
  promise.awaited = nullptr;
  handle_.resume();
  if (!handle_.done()) return Progress::some;
  if (promise.error) std::rethrow_exception(promise.error);
  return Progress::finished;
}

std::vector<int> Schedule::pending_peers() const {
  return handle_ && handle_.promise().awaited ? handle_.promise().awaited->pending_peers() : std::vector<int>{};
}

}  // namespace weft
