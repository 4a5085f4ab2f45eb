// Construction of devices. To add one: its kernels/NAME folder, and a line here.
#include "src/devices/devices.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/cpu_device.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

int allowed_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace

int default_threads(int ranks) {
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    int threads = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), threads);
    if (error == std::errc{} && threads > 0 && (*end == '\0' || *end == ',')) return threads;
  }
  const int allowed = allowed_cores();
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const bool own = ranks == 1 || allowed * ranks <= online;  // bound by the launcher: nobody else is there
  return own ? allowed : std::max(1, allowed / ranks);
}

std::string crowding(int ranks, int threads) {
  const int allowed = allowed_cores();
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int sharing = allowed * ranks <= online ? 1 : ranks;  // as above
  if (threads * sharing <= allowed) return {};
  return fmt::format(
      "{} compute threads ({} rank{} of {}) share {} core{} of this node, and wait for each other. Set threads in the "
      "job, or OMP_NUM_THREADS, to {}{}; OMP_WAIT_POLICY=passive lets them sleep meanwhile",
      threads * sharing, sharing, sharing == 1 ? "" : "s", threads, allowed, allowed == 1 ? "" : "s",
      std::max(1, allowed / sharing),
      allowed < sharing ? fmt::format(", and start at most {} ranks a node", allowed) : "");
}

std::unique_ptr<Device> make_device(const std::string& name, const NodeShare& share, bool deterministic,
                                    bool fast_math) {
  if (name != "auto" && name != "cpu")
    throw UserError(fmt::format("device: this build has no '{}'; it has: cpu", name));
  CpuOptions options;
  options.threads = share.threads > 0 ? share.threads : default_threads(share.ranks);
  options.deterministic = deterministic;
  options.code_cache = kernel_cache_folder([](const char* variable) { return std::getenv(variable); });
  options.warn = [](const std::string& what) { fmt::print(stderr, "{}\n", what); };
  options.fast_math = fast_math;
  return make_cpu_device(options);
}

}  // namespace weft
