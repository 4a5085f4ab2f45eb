// Phases on the team, one after the other.
#include "kernels/cpu/generated.hpp"

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/loops/attention.hpp"
#include "kernels/loops/depthwise.hpp"
#include "kernels/loops/windows.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::uintptr_t kLine = 64;

/// By the template that the body fits.
loops::RowsKernel loops_for(const Graph& body, const Context& context, const loops::RowsSchedule& schedule) {
  if (loops::is_attention(body)) return loops::make_attention(body, context.threads, context.compiler->target().bf16);
  if (loops::is_depthwise(body)) return loops::make_depthwise(body, schedule);
  return loops::is_windowed_body(body) ? loops::make_windows(body, schedule) : loops::make_rows(body, schedule);
}

loops::RowsSchedule default_schedule(const Context& context) { return {context.compiler->register_bytes()}; }

/// One way to cut a kernel's loops, compiled.
struct Variant {
  struct Extent {
    std::int64_t extent = 0, work = 0;
  };
  std::shared_ptr<const KernelCode> code;
  std::vector<Extent> phases;
};

class GeneratedKernel final : public CpuKernel {
 public:
  /// With `streaming`, that is what runs where its stores can.
  GeneratedKernel(Variant always, std::optional<Variant> streaming, std::size_t inputs, std::size_t outputs,
                  int threads)
      : always_(std::move(always)),
        streaming_(std::move(streaming)),
        inputs_(inputs),
        outputs_(outputs),
        threads_(threads) {}

  void run(std::span<std::byte* const> arguments) const override {
    const Variant& variant = streaming_ && may_stream(arguments) ? *streaming_ : always_;
    for (std::size_t p = 0; p < variant.phases.size(); ++p) {
      const PhaseFunction function = variant.code->phases()[p];
      parallel_ranges(threads_, variant.phases[p].extent, 1, variant.phases[p].work,
                      [&](int, std::int64_t begin, std::int64_t end) { function(arguments.data(), begin, end); });
    }
  }

 private:
  /// A result over an operand is in the cache already.
  bool may_stream(std::span<std::byte* const> arguments) const {
    const auto operands = arguments.first(inputs_), results = arguments.subspan(inputs_, outputs_);
    return std::all_of(results.begin(), results.end(), [&](const std::byte* r) {
      return reinterpret_cast<std::uintptr_t>(r) % kLine == 0 &&
             std::find(operands.begin(), operands.end(), r) == operands.end();
    });
  }

  Variant always_;
  std::optional<Variant> streaming_;
  std::size_t inputs_, outputs_;
  int threads_;
};

}  // namespace

std::optional<loops::RowsSchedule> ScheduleChoices::find(const KernelSpec& spec) const {
  if (chosen_.empty()) return std::nullopt;
  const auto found = chosen_.find(spec.key());
  return found == chosen_.end() ? std::nullopt : std::optional(found->second);
}

Claim claim_generated(const Graph& body, const Context& context) {
  loops::RowsKernel made = loops_for(body, context, default_schedule(context));
  if (!made.refusal.empty()) return Claim::refuse(std::move(made.refusal));
  KernelSpec spec;
  spec.body = std::move(made.body);
  spec.implementation = "generated";
  spec.scratch_bytes = made.scratch_bytes;
  spec.bytes = operand_bytes(spec.body);
  spec.flops = made.flops;
  spec.overwrites_operands = made.overwrites_operands;
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_generated(const KernelSpec& spec, const Context& context) {
  const KernelSpec* one[] = {&spec};
  return std::move(compile_generated(one, context).front());
}

std::vector<std::unique_ptr<CpuKernel>> compile_generated(std::span<const KernelSpec* const> specs,
                                                          const Context& context) {
  std::vector<ScheduledSpec> wanted;
  for (const KernelSpec* spec : specs) {
    const auto chosen = context.schedules ? context.schedules->find(*spec) : std::nullopt;
    wanted.push_back({spec, chosen.value_or(default_schedule(context))});
  }
  return compile_scheduled(wanted, context);
}

std::optional<loops::Kernel> scheduled_loops(const KernelSpec& spec, const loops::RowsSchedule& schedule) {
  if (loops::is_attention(spec.body) || loops::is_windowed_body(spec.body)) return std::nullopt;
  loops::RowsKernel made = loops::is_depthwise(spec.body) ? loops::make_depthwise(spec.body, schedule)
                                                          : loops::make_rows(spec.body, schedule);
  check_internal(made.refusal.empty(), "generated kernel scheduled without a claim: " + made.refusal);
  return std::move(made.kernel);
}

std::vector<std::unique_ptr<CpuKernel>> compile_scheduled(std::span<const ScheduledSpec> wanted,
                                                          const Context& context) {
  std::vector<loops::Kernel> kernels;
  const auto add = [&](const KernelSpec& spec, const loops::RowsSchedule& schedule) {
    loops::RowsKernel made = loops_for(spec.body, context, schedule);
    check_internal(made.refusal.empty(), "generated kernel compiled without a claim: " + made.refusal);
    check_internal(made.scratch_bytes == spec.scratch_bytes, "a schedule that needs other scratch memory");
    kernels.push_back(std::move(made.kernel));
  };
  for (const ScheduledSpec& w : wanted) {
    add(*w.spec, w.schedule);
    if (w.schedule.streaming) add(*w.spec, default_schedule(context));
  }
  std::vector<const loops::Kernel*> all;
  for (const loops::Kernel& kernel : kernels) all.push_back(&kernel);
  const auto code = context.compiler->compile_all(all, context.threads);

  std::vector<std::unique_ptr<CpuKernel>> result;
  std::size_t next = 0;
  const auto take = [&] {
    Variant variant{code[next], {}};
    for (const loops::Phase& p : kernels[next].phases) variant.phases.push_back({p.extent, p.work});
    ++next;
    return variant;
  };
  for (const ScheduledSpec& w : wanted) {
    Variant first = take();
    std::optional<Variant> streaming;
    if (w.schedule.streaming) streaming = std::exchange(first, take());
    result.push_back(std::make_unique<GeneratedKernel>(std::move(first), std::move(streaming),
                                                       w.spec->body.inputs().size(), w.spec->body.outputs().size(),
                                                       context.threads));
  }
  return result;
}

}  // namespace weft::cpu
