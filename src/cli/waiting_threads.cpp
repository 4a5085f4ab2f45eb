// One exec: the process keeps its number, its descriptors and what its launcher told it.
#include "src/cli/waiting_threads.hpp"

#include <unistd.h>

#include <cstdlib>

#include "comm/launch.hpp"
#include "src/devices/devices.hpp"

namespace weft::cli {
namespace {

// Pauses of the processor, a quarter of a millisecond: longer than what lies between the kernels of a step, and than a
// sleeping thread takes to wake; a thirtieth of the library's own.
constexpr const char* kSpinCount = "10000";

}  // namespace

void choose_how_threads_wait(char** arguments) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  const int ranks = detect_launch().local_tasks;
  const bool crowded = !crowding(ranks, default_threads(ranks)).empty();
  const char* name = crowded ? "OMP_WAIT_POLICY" : "GOMP_SPINCOUNT";
  if (setenv(name, crowded ? "passive" : kSpinCount, 0) != 0) return;
  execv("/proc/self/exe", arguments);
  unsetenv(name);  // not changed after all: what this process starts shall not think so
}

}  // namespace weft::cli
