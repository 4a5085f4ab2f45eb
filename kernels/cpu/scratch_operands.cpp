// One mapping, and several sets of operands in it.
#include "kernels/cpu/scratch_operands.hpp"

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>

#include "kernels/cpu/parallel.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kGuessedCache = 32 << 20;
constexpr std::int64_t kMostCache = 128 << 20;  ///< so that what no cache holds stays cheap to fill
constexpr std::int64_t kPiece = 16 << 20;       ///< filled at once
constexpr std::int64_t kAlignment = 4096;       ///< of each operand, as they lie in arenas: far apart
constexpr double kSecondsARound = 8e-3;         ///< for each kernel
constexpr int kLeastRuns = 5, kMostRuns = 25;
constexpr std::uint16_t kOrdinary = 0x3f00;  ///< repeated, an ordinary number in every floating-point type

std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::string processor_name() {
  std::array<unsigned, 12> words{};
  unsigned most = __get_cpuid_max(0x80000000u, nullptr);
  if (most < 0x80000004u) return "unknown processor";
  for (unsigned leaf = 0; leaf < 3; ++leaf)
    __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1], &words[4 * leaf + 2], &words[4 * leaf + 3]);
  std::array<char, sizeof words + 1> name{};
  std::memcpy(name.data(), words.data(), sizeof words);
  return name.data();
}

/// Sizes of a kernel's arguments.
std::vector<std::int64_t> argument_bytes(const KernelSpec& spec) {
  std::vector<std::int64_t> result;
  const auto add = [&](ValueId v) { result.push_back(spec.body.layout(v).bytes(spec.body.type(v).dtype)); };
  for (const GraphInput& i : spec.body.inputs()) add(i.value);
  for (const GraphOutput& o : spec.body.outputs()) add(o.value);
  if (spec.scratch_bytes > 0) result.push_back(spec.scratch_bytes);
  return result;
}

double seconds_of(const CpuKernel& kernel, std::span<std::byte* const> arguments) {
  const auto began = std::chrono::steady_clock::now();
  kernel.run(arguments);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

std::int64_t last_level_cache_bytes() {
  // Not sysconf: it adds up the caches of cores that share none.
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  std::int64_t kilobytes = 0;
  return file >> kilobytes && kilobytes > 0 ? std::min(kilobytes << 10, kMostCache) : kGuessedCache;
}

std::string processor_text() { return fmt::format("{} cache {}", processor_name(), last_level_cache_bytes()); }

std::int64_t launch_bytes(const KernelSpec& spec) {
  std::int64_t bytes = 0;
  for (const std::int64_t size : argument_bytes(spec)) bytes += aligned(size);
  return bytes;
}

ScratchOperands::~ScratchOperands() { release(); }

void ScratchOperands::release() {
  if (memory_ != nullptr) munmap(memory_, static_cast<std::size_t>(bytes_));
  memory_ = nullptr;
  bytes_ = 0;
}

bool ScratchOperands::reserve(const KernelSpec& spec, std::int64_t most_bytes, int threads,
                              const std::function<bool()>& go_on) {
  const std::int64_t bytes = std::max(launch_bytes(spec), 2 * last_level_cache_bytes());
  if (bytes <= bytes_) return true;
  release();
  if (bytes > most_bytes) return false;
  void* memory =
      mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  memory_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
  madvise(memory_, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
  for (std::int64_t done = 0; done < bytes; done += kPiece) {
    if (!go_on()) {
      release();
      return false;
    }
    auto* values = reinterpret_cast<std::uint16_t*>(memory_ + done);
    const std::int64_t count = std::min(kPiece, bytes - done) / 2;
    parallel_ranges(threads, count, kAlignment, count, [&](int, std::int64_t begin, std::int64_t end) {
      std::fill(values + begin, values + end, kOrdinary);
    });
  }
  return true;
}

std::vector<double> ScratchOperands::fastest(std::span<const CpuKernel* const> kernels, const KernelUse& use, bool cold,
                                             const std::function<bool()>& go_on) {
  const std::vector<std::int64_t> sizes = argument_bytes(*use.spec);
  const std::int64_t one = launch_bytes(*use.spec);
  if (one == 0) return std::vector<double>(kernels.size(), 1);
  check_internal(one <= bytes_, "kernels timed without room for their operands");
  const std::int64_t copies = cold ? bytes_ / one : 1;
  // Copies differ: by where their pages lie. No kernel may always get the same ones, so they are drawn, and kernels
  // change places.
  std::int64_t copy = 0;
  std::minstd_rand draw(1);
  std::vector<std::byte*> arguments;
  const auto next = [&] {
    if (copies > 1) copy = (copy + 1 + static_cast<std::int64_t>(draw()) % (copies - 1)) % copies;
    std::byte* at = memory_ + copy * one;
    arguments.clear();
    for (const std::int64_t size : sizes) {
      arguments.push_back(at);
      at += aligned(size);
    }
    for (std::size_t o = 0; o < use.over.size(); ++o)
      if (use.over[o] >= 0)
        arguments[use.spec->body.inputs().size() + o] = arguments[static_cast<std::size_t>(use.over[o])];
  };
  const FlushDenormals mode;
  std::vector<double> best(kernels.size(), std::numeric_limits<double>::max());
  next();
  const double first = std::max(seconds_of(*kernels[0], arguments), 1e-7);
  const int runs = static_cast<int>(std::clamp(kSecondsARound / first, double{kLeastRuns}, double{kMostRuns}));
  for (int run = 0; run < runs; ++run)
    for (std::size_t place = 0; place < kernels.size(); ++place) {
      const std::size_t k = (place + static_cast<std::size_t>(run)) % kernels.size();
      if (!go_on()) return {};
      next();
      best[k] = std::min(best[k], seconds_of(*kernels[k], arguments));
    }
  return best;
}

}  // namespace weft::cpu
