// Kernels generated for a body: elementwise chains, reductions, rows of both (kernels/loops/rows.hpp), and attention
// (kernels/loops/attention.hpp).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/implementation.hpp"
#include "kernels/loops/rows.hpp"

namespace weft::cpu {

/// Schedules other than the default, by KernelSpec::key().
class ScheduleChoices {
 public:
  void choose(const std::string& key, const loops::RowsSchedule& schedule) { chosen_[key] = schedule; }
  std::optional<loops::RowsSchedule> find(const KernelSpec& spec) const;

 private:
  std::map<std::string, loops::RowsSchedule> chosen_;
};

Claim claim_generated(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_generated(const KernelSpec& spec, const Context& context);
/// Several side by side, in their order.
std::vector<std::unique_ptr<CpuKernel>> compile_generated(std::span<const KernelSpec* const> specs,
                                                          const Context& context);

/// The loops of a kernel that claim_generated offered, cut by `schedule`; nullopt where its template has no schedules.
std::optional<loops::Kernel> scheduled_loops(const KernelSpec& spec, const loops::RowsSchedule& schedule);
/// Compiled, each its own kernel, side by side. Those with streaming stores take any operands: where a result is not
/// aligned, or lies over an operand, they run `spec`'s default.
struct ScheduledSpec {
  const KernelSpec* spec = nullptr;
  loops::RowsSchedule schedule;
};
std::vector<std::unique_ptr<CpuKernel>> compile_scheduled(std::span<const ScheduledSpec> wanted,
                                                          const Context& context);

}  // namespace weft::cpu
