// Repeating and summing up measurements.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "weft/communicator.hpp"
#include "weft/device.hpp"
#include "weft/site.hpp"

namespace weft {

using MeasureClock = std::chrono::steady_clock;

inline double seconds_since(MeasureClock::time_point start) {
  return std::chrono::duration<double>(MeasureClock::now() - start).count();
}

/// Median and spread, (90th percentile - 10th) / median, of `times` (not empty).
CostPoint summary(double x, std::vector<double> times);

/// Seconds of each call: one untimed call, then at least `fewest`, and on until `budget` seconds have passed.
std::vector<double> repeat(const std::function<void()>& call, double budget, int fewest);

/// The mean over ranks of each entry (all ranks give lists of equal length). Collective.
std::vector<double> mean_over_ranks(Communicator& comm, const std::vector<double>& mine);

/// Memory for one kernel, filled with harmless numbers, and the arguments in launch order.
class KernelArguments {
 public:
  KernelArguments(Device& device, const KernelSpec& spec);
  std::span<std::byte* const> span() const { return arguments_; }

 private:
  std::vector<std::unique_ptr<Allocation>> memory_;
  std::vector<std::byte*> arguments_;
};

/// Fills device memory with numbers from 0.5 to 1 of `type`; integers and bools become 0.
void fill_harmless(Device& device, std::byte* to, MemorySpace space, std::int64_t bytes, DType type);

}  // namespace weft
