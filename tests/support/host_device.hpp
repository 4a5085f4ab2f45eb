// A device of plain host memory for tests that need a StateTable and no kernels.
#pragma once

#include <cstring>
#include <vector>

#include "weft/device.hpp"
#include "weft/error.hpp"

namespace weft::testing {

class HostDevice : public Device {
 public:
  const KernelOracle& oracle() const override { throw InternalError("HostDevice has no kernels"); }
  std::unique_ptr<Allocation> allocate(std::int64_t bytes, MemorySpace) override {
    return std::make_unique<HostAllocation>(bytes);
  }
  MemorySpace arena_space() const override { return MemorySpace::host; }
  std::unique_ptr<Kernel> compile(const KernelSpec&) override { throw InternalError("HostDevice has no kernels"); }
  void launch(const Kernel&, std::span<std::byte* const>, Lane) override {}
  void copy(std::byte* to, MemorySpace, const std::byte* from, MemorySpace, std::int64_t bytes, Lane) override {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  DeviceEvent record(Lane) override { return {}; }
  void wait(Lane, DeviceEvent) override {}
  void synchronize(Lane) override {}

 private:
  class HostAllocation final : public Allocation {
   public:
    explicit HostAllocation(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {}
    std::byte* data() override { return bytes_.data(); }
    std::int64_t bytes() const override { return static_cast<std::int64_t>(bytes_.size()); }

   private:
    std::vector<std::byte> bytes_;
  };
};

}  // namespace weft::testing
