// CPU device: memory, compilation cache, launches.
#include "kernels/cpu/cpu_device.hpp"

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/cpu/cpu_oracle.hpp"
#include "kernels/cpu/jit/code_cache.hpp"
#include "kernels/cpu/parallel.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using cpu::CpuKernel;

constexpr std::int64_t kPage = 4096;

/// One anonymous mapping, huge pages advised, every page touched by the team (which also spreads the cost of faults).
class Mapping final : public Allocation {
 public:
  Mapping(std::int64_t bytes, int threads) : bytes_(bytes) {
    if (bytes < 0) throw InternalError("allocate: negative size");
    if (bytes == 0) return;
    void* memory = mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      const std::int64_t available = sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);
      throw SystemError::from_errno(
          fmt::format("out of host memory: {} bytes were asked for, about {} are free", bytes, available), errno);
    }
    memory_ = static_cast<std::byte*>(memory);
    madvise(memory_, size(), MADV_HUGEPAGE);  // advice: a kernel without huge pages refuses it, harmlessly
    cpu::parallel_ranges(threads, bytes, kPage, bytes, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += kPage) *const_cast<volatile std::byte*>(memory_ + i) = std::byte{0};
    });
  }
  ~Mapping() override {
    if (memory_ != nullptr) munmap(memory_, size());
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* data() override { return memory_; }
  std::int64_t bytes() const override { return bytes_; }

 private:
  std::size_t size() const { return static_cast<std::size_t>(bytes_); }

  std::int64_t bytes_;
  std::byte* memory_ = nullptr;
};

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const CpuOptions& options) : oracle_(options) {}

  const KernelOracle& oracle() const override { return oracle_; }
  MemorySpace arena_space() const override { return MemorySpace::host; }

  std::unique_ptr<Allocation> allocate(std::int64_t bytes, MemorySpace space) override {
    check_internal(space != MemorySpace::device, "the CPU has no device memory space");
    return std::make_unique<Mapping>(bytes, threads());
  }

  std::unique_ptr<Kernel> compile(const KernelSpec& spec) override {
    const cpu::TeamSize team(threads());
    return oracle_.compile(spec);
  }

  std::vector<std::unique_ptr<Kernel>> compile_all(std::span<const KernelSpec* const> specs) override {
    const cpu::TeamSize team(threads());
    return oracle_.compile_all(specs);
  }

  std::vector<TunedKernel> tune(std::span<const KernelUse> uses, double seconds,
                                const std::function<bool()>& stop) override {
    const cpu::TeamSize team(threads());
    return oracle_.tune(uses, seconds, stop);
  }

  void launch(const Kernel& kernel, std::span<std::byte* const> arguments, Lane) override {
    const cpu::FlushDenormals mode;
    const cpu::TeamSize team(threads());
    static_cast<const CpuKernel&>(kernel).run(arguments);
  }

  void copy(std::byte* to, MemorySpace, const std::byte* from, MemorySpace, std::int64_t bytes, Lane) override {
    if (bytes > 0) std::memmove(to, from, static_cast<std::size_t>(bytes));
  }

  DeviceEvent record(Lane) override { return {++events_}; }
  void wait(Lane, DeviceEvent) override {}
  void synchronize(Lane) override {}

 private:
  int threads() const { return oracle_.target().threads; }

  cpu::CpuOracle oracle_;
  std::uint64_t events_ = 0;
};

}  // namespace

std::string kernel_cache_folder(const std::function<const char*(const char*)>& variable) {
  return cpu::cache_root(variable).string();
}

std::unique_ptr<Device> make_cpu_device(const CpuOptions& options) { return std::make_unique<CpuDevice>(options); }

}  // namespace weft
