// One receive that is always posted, and small messages to everybody.
#include "comm/mpi/failure_notices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "comm/mpi/transfers.hpp"

namespace weft {
namespace {

constexpr std::chrono::milliseconds kHelp{200};

}  // namespace

FailureNotices::FailureNotices() : memory_(std::make_unique<char[]>(kMostBytes)) {
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
  check_mpi(MPI_Irecv(memory_.get(), kMostBytes, MPI_CHAR, MPI_ANY_SOURCE, 0, comm_, &request_), "receiving");
}

std::optional<std::string> FailureNotices::heard() {
  if (request_ == MPI_REQUEST_NULL) return std::nullopt;
  int done = 0, length = 0;
  MPI_Status status;
  if (MPI_Test(&request_, &done, &status) != MPI_SUCCESS || !done) return std::nullopt;
  if (MPI_Get_count(&status, MPI_CHAR, &length) != MPI_SUCCESS || length < 0) length = 0;
  return fmt::format("rank {}: {}", status.MPI_SOURCE,
                     std::string_view(memory_.get(), static_cast<std::size_t>(length)));
}

void FailureNotices::tell(std::string_view message) noexcept {
  try {
    int rank = 0, size = 1;
    MPI_Comm_rank(comm_, &rank);
    MPI_Comm_size(comm_, &size);
    auto text = std::make_unique<std::string>(message.substr(0, kMostBytes));
    std::vector<MPI_Request> requests;
    requests.reserve(static_cast<std::size_t>(size));
    for (int k = 1; k < size; ++k) {
      MPI_Request request = MPI_REQUEST_NULL;
      const int peer = (rank + k) % size;
      if (MPI_Isend(text->data(), static_cast<int>(text->size()), MPI_CHAR, peer, 0, comm_, &request) == MPI_SUCCESS)
        requests.push_back(request);
    }
    const auto limit = std::chrono::steady_clock::now() + kHelp;
    int all = 0;
    while (!all && std::chrono::steady_clock::now() < limit) {
      if (MPI_Testall(static_cast<int>(requests.size()), requests.data(), &all, MPI_STATUSES_IGNORE) != MPI_SUCCESS)
        break;
      std::this_thread::yield();
    }
    // Left behind on purpose: a request that has not ended keeps its bytes.
    if (!all) static_cast<void>(text.release());
  } catch (...) {
    // Then the others find out by waiting.
  }
}

void FailureNotices::close() noexcept {
  if (request_ == MPI_REQUEST_NULL) return;
  MPI_Cancel(&request_);
  MPI_Wait(&request_, MPI_STATUS_IGNORE);
}

}  // namespace weft
