// Agreement on failures: over a group of its own, so that no message of the verb's can be mistaken for it.
#include "src/cli/all_ranks.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string>

#include "weft/hash.hpp"

namespace weft::cli {
namespace {

/// How long a rank that failed waits for the others to fail alike.
constexpr std::chrono::milliseconds kAgreementLimit{2000};

struct Failure {
  ExitCode code = ExitCode::internal;
  std::string message;
};

/// Whether every rank failed with the same message.
bool all_failed_alike(MpiRuntime& runtime, Communicator& failures, const Failure& mine) {
  if (runtime.broken()) return false;
  try {
    runtime.set_timeout(kAgreementLimit);
    runtime.keep_quiet();
    const std::uint64_t hash = hash64(std::as_bytes(std::span(mine.message.data(), mine.message.size())));
    std::array<std::uint64_t, 2> ends{hash, ~hash};  // the largest hash, and the complement of the smallest
    auto* data = reinterpret_cast<std::byte*>(ends.data());
    failures.start_all_reduce(data, data, 2, DType::u64, ReduceKind::max, {"comparing failures", 0, -1})->wait();
    return ends[0] == ~ends[1];
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

ExitCode on_all_ranks(const std::function<ExitCode(World&, const LaunchInfo&)>& work) {
  const LaunchInfo launch = detect_launch();
  // Said on every node: a rank that fails on one may end the step before rank 0 has begun on another.
  if (const std::string remark = start_remark(launch); !remark.empty() && launch.local == 0)
    std::fprintf(stderr, "weft: %s\n", remark.c_str());
  World world = join_world(launch);
  if (!world.runtime) return work(world, launch);

  std::unique_ptr<Communicator> failures = world.runtime->world();
  const int rank = failures->rank();
  Failure failure;
  std::exception_ptr thrown;
  try {
    return work(world, launch);
  } catch (const Error& error) {
    failure = {error.exit_code(), error.what()};
    thrown = std::current_exception();
  } catch (const std::bad_alloc&) {
    failure = {ExitCode::system, "out of memory"};
    thrown = std::current_exception();
  } catch (const std::exception& error) {
    failure = {ExitCode::internal, error.what()};
    thrown = std::current_exception();
  }
  if (all_failed_alike(*world.runtime, *failures, failure)) {
    failures.reset();
    world.communicator.reset();
    world.runtime.reset();
    if (rank == 0) std::rethrow_exception(thrown);
    return failure.code;
  }
  std::fprintf(stderr, "weft: rank %d: %s\n", rank, failure.message.c_str());
  std::fflush(nullptr);
  world.runtime->abort_job(static_cast<int>(failure.code));
}

}  // namespace weft::cli
