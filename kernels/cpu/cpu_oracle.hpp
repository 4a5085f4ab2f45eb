// The CPU's kernel oracle: asks each family of kernels in order, and remembers the answers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/cpu/cpu_device.hpp"
#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

class CpuOracle final : public KernelOracle {
 public:
  explicit CpuOracle(const CpuOptions& options);

  const Target& target() const override { return target_; }
  KernelAnswer ask(const Graph& body) const override;

  /// Compiles what this oracle offered. Throws InternalError for another implementation's spec.
  std::unique_ptr<CpuKernel> compile(const KernelSpec& spec) const;
  /// See Device::tune.
  std::vector<TunedKernel> tune(std::span<const KernelUse> uses, double seconds, const std::function<bool()>& stop);
  /// Several, in their order; what is generated side by side.
  std::vector<std::unique_ptr<Kernel>> compile_all(std::span<const KernelSpec* const> specs) const;

 private:
  Context context_;
  std::shared_ptr<ScheduleChoices> schedules_;
  std::vector<std::string> without_;
  Target target_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, KernelAnswer> answers_;  ///< by body key; specs hold the layouts, no names
};

}  // namespace weft::cpu
