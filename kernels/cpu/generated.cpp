// Phases on the team, one after the other.
#include "kernels/cpu/generated.hpp"

#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/loops/attention.hpp"
#include "kernels/loops/rows.hpp"
#include "kernels/loops/windows.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

/// By the template that the body fits.
loops::RowsKernel loops_for(const Graph& body, const Context& context) {
  const loops::RowsSchedule schedule{context.compiler->register_bytes()};
  if (loops::is_attention(body)) return loops::make_attention(body, context.threads, context.compiler->target().bf16);
  return loops::is_windowed_body(body) ? loops::make_windows(body, schedule) : loops::make_rows(body, schedule);
}

class GeneratedKernel final : public CpuKernel {
 public:
  GeneratedKernel(const loops::Kernel& kernel, std::shared_ptr<const KernelCode> code, int threads)
      : code_(std::move(code)), threads_(threads) {
    for (const loops::Phase& p : kernel.phases) phases_.push_back({p.extent, p.work});
  }

  void run(std::span<std::byte* const> arguments) const override {
    for (std::size_t p = 0; p < phases_.size(); ++p) {
      const PhaseFunction function = code_->phases()[p];
      parallel_ranges(threads_, phases_[p].extent, 1, phases_[p].work,
                      [&](int, std::int64_t begin, std::int64_t end) { function(arguments.data(), begin, end); });
    }
  }

 private:
  struct Extent {
    std::int64_t extent = 0, work = 0;
  };
  std::shared_ptr<const KernelCode> code_;
  std::vector<Extent> phases_;
  int threads_ = 1;
};

}  // namespace

Claim claim_generated(const Graph& body, const Context& context) {
  loops::RowsKernel made = loops_for(body, context);
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
  std::vector<loops::Kernel> kernels;
  for (const KernelSpec* spec : specs) {
    loops::RowsKernel made = loops_for(spec->body, context);
    check_internal(made.refusal.empty(), "generated kernel compiled without a claim: " + made.refusal);
    kernels.push_back(std::move(made.kernel));
  }
  std::vector<const loops::Kernel*> wanted;
  for (const loops::Kernel& kernel : kernels) wanted.push_back(&kernel);
  const auto code = context.compiler->compile_all(wanted, context.threads);
  std::vector<std::unique_ptr<CpuKernel>> result;
  for (std::size_t i = 0; i < kernels.size(); ++i)
    result.push_back(std::make_unique<GeneratedKernel>(kernels[i], code[i], context.threads));
  return result;
}

}  // namespace weft::cpu
