// Jobs that go wrong on purpose, started under mpirun by failures_test: comm_scenarios NAME.
// Each rank prints "rank R: " and what it was told, then leaves as `weft` would.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "comm/mpi/mpi_runtime.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using std::chrono::milliseconds;

void reduce(Communicator& comm, std::int64_t count, const char* name, std::int64_t step) {
  std::vector<float> values(static_cast<std::size_t>(count), 1.0f);
  auto* at = reinterpret_cast<std::byte*>(values.data());
  comm.start_all_reduce(at, at, count, DType::f32, ReduceKind::sum, {name, step, 4})->wait();
}

// The last rank computes on and never comes; another operation is in flight beside the late one.
void absent(Communicator& comm) {
  if (comm.rank() == comm.size() - 1) {
    std::this_thread::sleep_for(std::chrono::seconds(60));
    return;
  }
  std::vector<float> other(1000000);
  auto* at = reinterpret_cast<std::byte*>(other.data());
  auto request = comm.start_all_reduce(at, at, 1000000, DType::f32, ReduceKind::sum, {"other", 118, 3});
  reduce(comm, 1000, "all-reduce bucket 2", 118);
}

void run(const std::string& name, MpiRuntime& runtime, Communicator& comm) {
  const bool last = comm.rank() == comm.size() - 1;
  if (name == "absent") return absent(comm);
  if (name == "mismatch") return reduce(comm, last ? 20 : 10, "gradients", 3);
  if (name == "split") {
    if (last) std::this_thread::sleep_for(std::chrono::seconds(60));
    comm.split(0, 0);
  }
  if (name == "death") {
    reduce(comm, 10, "warm-up", 0);
    if (last) std::raise(SIGKILL);
    reduce(comm, 10000000, "gradients", 1);
  }
  if (name == "abort") {
    if (last) runtime.abort_job(4);
    reduce(comm, 10, "gradients", 1);
  }
}

}  // namespace
}  // namespace weft

int main(int, char** argv) {
  weft::MpiOptions options;
  options.timeout = std::chrono::milliseconds(1500);
  weft::World world;
  try {
    world = weft::join_world(weft::detect_launch(), options);
    world.runtime->set_describe_peer([](int rank) { return fmt::format("last seen in 'conv{}'", rank); });
    weft::run(argv[1], *world.runtime, *world.communicator);
    return 0;
  } catch (const weft::Error& error) {
    const int rank = world.communicator ? world.communicator->rank() : -1;
    std::fputs(fmt::format("rank {}: {}\n", rank, error.what()).c_str(), stderr);
    std::this_thread::sleep_for(std::chrono::milliseconds(700));  // let the others speak too
    if (world.runtime) world.runtime->abort_job(static_cast<int>(error.exit_code()));
    return static_cast<int>(error.exit_code());
  }
}
