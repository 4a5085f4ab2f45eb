// MpiRuntime: MPI, started and finished once in a process, and the communicator of all ranks. No MPI header needed.
//
//     LaunchInfo launch = detect_launch();
//     World world = join_world(launch);          // a single communicator when started alone; MPI is then not touched
//     train(*world.communicator);
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "comm/launch.hpp"
#include "weft/communicator.hpp"

namespace weft {

/// When the communication thread polls and when it sleeps; see comm_thread.hpp for what each means.
struct ProgressPolicy {
  std::chrono::microseconds spin{50};
  std::chrono::microseconds spin_waited{2000};
  std::chrono::microseconds shortest_sleep{20};
  std::chrono::microseconds longest_sleep{500};
};

struct MpiOptions {
  /// Longest wait for a peer, counted from the call of wait().
  std::chrono::milliseconds timeout{std::chrono::seconds(300)};
  ProgressPolicy progress;
};

class CommThread;
class FlightLog;

class MpiRuntime {
 public:
  /// Starts MPI on its own thread. Collective. Throws UserError when MPI and the launcher disagree on the number of
  /// ranks, SystemError when MPI does not start.
  explicit MpiRuntime(const LaunchInfo& launch, MpiOptions options = {});
  /// Finishes MPI; when an operation failed or never finished, ends the whole job instead (see abort_job), for peers
  /// could be waiting for ever. All communicators must be gone. An error that only this rank has seen must be answered
  /// with abort_job first: finishing waits for the others.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  /// Collective. The group of all ranks, apart from any other group made before.
  std::unique_ptr<Communicator> world();

  /// For waits that begin afterwards, on every communicator of this runtime.
  void set_timeout(std::chrono::milliseconds timeout);
  /// Says what a world rank was last seen doing ("in 'conv1' at step 17, 31 s ago"); asked for the ranks that a late
  /// operation waits for. Called on the communication thread; must not throw.
  void set_describe_peer(std::function<std::string(int world_rank)> describe);

  /// From now on every operation is noted in `log`. When one is late, `compare` says what the logs of all ranks show;
  /// as above.
  void set_flight_log(std::shared_ptr<FlightLog> log, std::function<std::string()> compare);

  /// From now on an operation that fails or is late is not told to the other ranks: this rank has something better to
  /// say.
  void keep_quiet();

  /// Ends this process and, as far as the launcher can, all ranks of the job, with this exit code. Never hangs.
  [[noreturn]] void abort_job(int code) noexcept;

  /// Whether an operation failed or was late: no message is exchanged any more, and abort_job is what is left. Tells an
  /// error that a peer caused from one of this rank's own.
  bool broken() const;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// MPI's own name and version.
  const std::string& library() const { return library_; }

 private:
  std::shared_ptr<CommThread> thread_;
  std::chrono::milliseconds start_limit_;
  int rank_ = 0, size_ = 1;
  int worlds_ = 0;  ///< made so far
  std::string library_;
};

/// What `main` holds: `runtime` is null when MPI is not needed.
struct World {
  std::unique_ptr<MpiRuntime> runtime;
  std::unique_ptr<Communicator> communicator;  ///< goes first
};
World join_world(const LaunchInfo& launch, MpiOptions options = {});

}  // namespace weft
