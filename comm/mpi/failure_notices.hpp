// FailureNotices: a rank whose operation failed tells all others, so that nobody waits its whole timeout for a rank
// that has given up, and all of them can say why.
#pragma once

#include <mpi.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weft {

/// On the communication thread only. Freed with MPI itself, or not at all.
class FailureNotices {
 public:
  /// Collective over MPI_COMM_WORLD.
  FailureNotices();
  FailureNotices(const FailureNotices&) = delete;
  FailureNotices& operator=(const FailureNotices&) = delete;

  /// What another rank told, once: "rank 2: …".
  std::optional<std::string> heard();
  /// Tells all other ranks, and helps the messages on their way for a moment. Never throws.
  void tell(std::string_view message) noexcept;
  /// Before MPI is finished.
  void close() noexcept;

 private:
  static constexpr int kMostBytes = 3500;  // what MPI libraries send without asking the receiver first

  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Request request_ = MPI_REQUEST_NULL;
  std::unique_ptr<char[]> memory_;  ///< never freed while MPI may write to it
};

}  // namespace weft
