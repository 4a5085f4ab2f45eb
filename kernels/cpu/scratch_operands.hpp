// Memory on which kernels are timed when there is no step around them, and the processor that they run on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
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

  /// Makes room for the operands of `spec`, of at most `most_bytes`. False where that does not suffice, the system
  /// gives no memory, or `go_on`, which is asked between pieces of it, says no.
  bool reserve(const KernelSpec& spec, std::int64_t most_bytes, int threads, const std::function<bool()>& go_on);

  /// Seconds of the fastest of several runs of each kernel, which take turns. All are kernels of `use`, for which there
  /// is room. `cold`: every run finds operands that no cache holds, as far as the memory goes; else the ones that the
  /// run before had. Empty where `go_on`, which is asked before each run, said no.
  std::vector<double> fastest(std::span<const CpuKernel* const> kernels, const KernelUse& use, bool cold,
                              const std::function<bool()>& go_on);

 private:
  void release();

  std::byte* memory_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace weft::cpu
