// Device: allocates memory, compiles kernels, launches them in order on lanes.
//
// To add one: implement Device and its KernelOracle in kernels/NAME, and construct it in src/devices/devices.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weft/kernel.hpp"
#include "weft/program.hpp"

namespace weft {

/// Owned memory of a device; freed on destruction.
class Allocation {
 public:
  virtual ~Allocation() = default;
  virtual std::byte* data() = 0;  ///< an address in its own space: not dereferenceable by the host for `device`
  virtual std::int64_t bytes() const = 0;
};

/// Compiled code of one KernelSpec, bound to one device.
class Kernel {
 public:
  virtual ~Kernel() = default;
};

/// A point on a lane that other lanes, or the host, can wait for. Opaque.
struct DeviceEvent {
  std::uint64_t id = 0;
};

/// How a Program uses a kernel.
struct KernelUse {
  const KernelSpec* spec = nullptr;
  int launches = 1;         ///< in one run of the Program
  std::vector<int> over{};  ///< by result: the operand that it lies over in all launches, else -1; empty: over none
};

/// A kernel whose schedules were compared.
struct TunedKernel {
  std::string key;       ///< KernelSpec::key()
  std::string schedule;  ///< the device's words for it; "default" where no other was clearly faster
  double speedup = 1;    ///< over the default, when it was measured
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const KernelOracle& oracle() const = 0;
  const Target& target() const { return oracle().target(); }

  /// Zero-filled, at least 64-byte aligned. Throws SystemError saying how much was asked for and how much there is.
  virtual std::unique_ptr<Allocation> allocate(std::int64_t bytes, MemorySpace space) = 0;
  /// The space where arenas and state live.
  virtual MemorySpace arena_space() const = 0;

  /// Compiles or finds in the cache. Throws InternalError when the spec was not offered by this device's oracle.
  virtual std::unique_ptr<Kernel> compile(const KernelSpec& spec) = 0;
  /// The same for several, in their order: a device that can compile side by side overrides it.
  virtual std::vector<std::unique_ptr<Kernel>> compile_all(std::span<const KernelSpec* const> specs) {
    std::vector<std::unique_ptr<Kernel>> kernels;
    for (const KernelSpec* spec : specs) kernels.push_back(compile(*spec));
    return kernels;
  }

  /// Finds schedules of kernels that are faster than the default and give the same bits, so that ranks need not agree:
  /// those that earlier runs found on such a device, and others by measuring for about `seconds`. What is compiled
  /// afterwards has them. `stop` is asked meanwhile: once it says yes, the rest is left to a later start. Returns the
  /// kernels that were compared, now or earlier. A device may have nothing to choose.
  virtual std::vector<TunedKernel> tune([[maybe_unused]] std::span<const KernelUse> uses,
                                        [[maybe_unused]] double seconds,
                                        [[maybe_unused]] const std::function<bool()>& stop = {}) {
    return {};
  }

  /// Enqueues on `lane`: arguments are the spec's inputs, then outputs, then scratch when it asked for some.
  virtual void launch(const Kernel& kernel, std::span<std::byte* const> arguments, Lane lane) = 0;
  /// Enqueues a copy on `lane`; spaces are those of the addresses.
  virtual void copy(std::byte* to, MemorySpace to_space, const std::byte* from, MemorySpace from_space,
                    std::int64_t bytes, Lane lane) = 0;

  virtual DeviceEvent record(Lane lane) = 0;
  virtual void wait(Lane lane, DeviceEvent event) = 0;
  /// Blocks the host until everything enqueued on `lane` is done.
  virtual void synchronize(Lane lane) = 0;
};

}  // namespace weft
