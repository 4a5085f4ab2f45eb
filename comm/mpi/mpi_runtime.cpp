// Start, end and abortion of MPI, all on the communication thread.
#include "comm/mpi/mpi_runtime.hpp"

#include <fmt/format.h>
#include <mpi.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "comm/mpi/comm_thread.hpp"
#include "comm/mpi/mpi_communicator.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

// Starting and finishing wait for all ranks, but nobody computes meanwhile.
constexpr std::chrono::seconds kStartLimit{300};
constexpr std::chrono::seconds kFinishLimit{60};
constexpr std::chrono::seconds kAbortLimit{5};

struct Started {
  int rank = 0, size = 1;
  std::string library;
};

Started start_mpi() {
  // A peer that dies must not take this rank along: Open MPI writes into sockets as they are, and mpirun's handling of
  // the signal is missing under srun.
  std::signal(SIGPIPE, SIG_IGN);
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED)
    throw SystemError(
        "the MPI library cannot be called from a thread of its own (MPI_THREAD_SERIALIZED): use one built with thread "
        "support");
  Started started;
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &started.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &started.size), "MPI_Comm_size");
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  started.library = std::string(text, static_cast<std::size_t>(length));
  return started;
}

// A duplicate of the world, and which ranks share a node: each node is named by its lowest world rank.
Group duplicate_world() {
  Group group;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &group.comm), "MPI_Comm_dup");
  int size = 1;
  MPI_Comm_rank(group.comm, &group.rank);
  MPI_Comm_size(group.comm, &size);

  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(group.comm, MPI_COMM_TYPE_SHARED, group.rank, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  int leader = group.rank;
  check_mpi(MPI_Bcast(&leader, 1, MPI_INT, 0, node), "naming the node");
  MPI_Comm_free(&node);
  group.nodes.resize(static_cast<std::size_t>(size));
  check_mpi(MPI_Allgather(&leader, 1, MPI_INT, group.nodes.data(), 1, MPI_INT, group.comm), "naming the nodes");

  for (int r = 0; r < size; ++r) group.world_ranks.push_back(r);
  int* largest_tag = nullptr;
  int found = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &largest_tag, &found);
  // MPI promises 32767; what is more helps nobody.
  group.largest_tag = found ? std::min(*largest_tag, 1 << 20) : 32767;
  return group;
}

std::function<void()> finish_mpi(CommThread& thread) {
  return [&thread] {
    if (thread.notices() != nullptr) thread.notices()->close();
    MPI_Finalize();
  };
}

}  // namespace

MpiRuntime::MpiRuntime(const LaunchInfo& launch, MpiOptions options)
    : thread_(std::make_shared<CommThread>(options.progress, options.timeout)), start_limit_(kStartLimit) {
  auto started = std::make_shared<Started>();
  try {
    thread_->call("starting MPI", start_limit_, [started, thread = thread_.get()] {
      *started = start_mpi();
      thread->use_notices(std::make_unique<FailureNotices>());
    });
  } catch (...) {
    // The thread may be stuck inside MPI for good: joining it would hang, so it is left behind.
    if (thread_->broken()) new std::shared_ptr<CommThread>(thread_);
    throw;
  }
  rank_ = started->rank;
  size_ = started->size;
  library_ = started->library;
  try {
    check_world_size(launch, size_);
  } catch (...) {
    thread_->call("finishing MPI", kFinishLimit, finish_mpi(*thread_));
    throw;
  }
}

MpiRuntime::~MpiRuntime() {
  if (thread_->broken() || !thread_->idle()) abort_job(static_cast<int>(ExitCode::system));
  try {
    thread_->call("finishing MPI", kFinishLimit, finish_mpi(*thread_));
    thread_->close("MPI has been finished");
  } catch (...) {
    abort_job(static_cast<int>(ExitCode::system));
  }
}

std::unique_ptr<Communicator> MpiRuntime::world() {
  auto group = std::make_shared<Group>();
  thread_->call("joining all ranks", start_limit_, [group] { *group = duplicate_world(); });
  group->id = static_cast<std::uint64_t>(++worlds_);
  group->name = worlds_ == 1 ? "all ranks" : fmt::format("all ranks ({})", worlds_);
  return std::make_unique<MpiCommunicator>(thread_, std::move(*group));
}

void MpiRuntime::set_timeout(std::chrono::milliseconds timeout) { thread_->set_timeout(timeout); }

void MpiRuntime::set_describe_peer(std::function<std::string(int)> describe) {
  thread_->set_describe_peer(std::move(describe));
}

void MpiRuntime::set_flight_log(std::shared_ptr<FlightLog> log, std::function<std::string()> compare) {
  thread_->set_flight_log(std::move(log), std::move(compare));
}

void MpiRuntime::keep_quiet() { thread_->keep_quiet(); }

bool MpiRuntime::broken() const { return thread_->broken(); }

void MpiRuntime::abort_job(int code) noexcept {
  try {
    // MPI_Abort tells the launcher to end the others, and does not return.
    thread_->call("ending the job", kAbortLimit, [code] { MPI_Abort(MPI_COMM_WORLD, code); });
  } catch (...) {
  }
  // The thread is stuck inside MPI. A launcher ends the others when a rank leaves with an error.
  std::_Exit(code);
}

World join_world(const LaunchInfo& launch, MpiOptions options) {
  if (!launch.needs_mpi()) return {nullptr, make_single_communicator()};
  World world;
  world.runtime = std::make_unique<MpiRuntime>(launch, options);
  world.communicator = world.runtime->world();
  return world;
}

}  // namespace weft
