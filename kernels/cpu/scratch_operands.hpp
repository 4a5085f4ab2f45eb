// Memory on which kernels are timed when there is no step around them, and the processor that they run on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

/// What one core can reach of the outermost cache; a guess where the system does not say.
std::int64_t last_level_cache_bytes();
/// The processor's name and outermost cache: what timings depend on besides code and threads.
std::string processor_text();

/// Of all arguments of a launch, what lies between the rows of windows included.
std::int64_t launch_bytes(const KernelSpec& spec);

/// Operands and results of any kernel, one at a time. Numbers in them are ordinary to begin with; generated kernels
/// take any. Grows to the largest kernel, or twice the outermost cache where that is more.
class ScratchOperands {
 public:
  ScratchOperands() = default;
  ~ScratchOperands();
  ScratchOperands(const ScratchOperands&) = delete;
  ScratchOperands& operator=(const ScratchOperands&) = delete;

  /// Seconds of the fastest of several runs of each kernel, which take turns. All are kernels of `use`. `cold`: every
  /// run finds operands that no cache holds, as far as the memory goes; else the ones that the run before had. Empty
  /// when there is no memory for them.
  std::vector<double> fastest(std::span<const CpuKernel* const> kernels, const KernelUse& use, int threads, bool cold);

 private:
  bool grow(std::int64_t bytes, int threads);

  std::byte* memory_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace weft::cpu
