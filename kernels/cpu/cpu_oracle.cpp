// Asking kernel families in order, and roofline estimates of what they offer.
#include "kernels/cpu/cpu_oracle.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

#include "kernels/cpu/generated.hpp"
#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/schedule_tuner.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "weft/error.hpp"
#include "weft/memory_limit.hpp"

namespace weft::cpu {
namespace {

// Assumed until calibration measures: 2 FMA pipes of the ISA's width at 2.5 GHz; 10 GB/s for the first thread.
constexpr double kHertz = 2.5e9;
constexpr double kLaunchSeconds = 1e-6;

double flops_per_thread(CpuIsa isa) {
  const double lanes = isa == CpuIsa::avx512 ? 16 : isa == CpuIsa::avx2 ? 8 : 4;
  return 2 * 2 * lanes * kHertz;
}

double estimate(const KernelSpec& spec, double efficiency, const Context& context) {
  return kLaunchSeconds + std::max(spec.flops / context.peak_flops, spec.bytes / context.peak_bytes) / efficiency;
}

/// A refusal for operators that no kernel may hold.
std::string never_a_kernel(const Graph& body) {
  for (const Node& node : body.nodes()) {
    const OpClass c = class_of(node.op);
    if (c == OpClass::control || c == OpClass::collective)
      return fmt::format("{} is an instruction, not a kernel", name_of(node.op));
  }
  return {};
}

}  // namespace

CpuOracle::CpuOracle(const CpuOptions& options) : without_(options.without) {
  if (options.threads < 0 || options.threads > 4096)
    throw UserError(fmt::format("threads is {}: 0 (automatic) to 4096 are allowed", options.threads));
  context_.isa = resolve_isa(options.isa);
  context_.threads = options.threads > 0 ? options.threads : omp_get_max_threads();
  context_.fast_math = options.fast_math;
  context_.tiles = make_tile_ops(context_.isa);
  context_.onednn = make_onednn_engine();
  context_.compiler = std::make_shared<KernelCompiler>(
      context_.isa, CodeCacheOptions{.folder = options.code_cache, .warn = options.warn});
  context_.schedules = schedules_ = std::make_shared<ScheduleChoices>();
  context_.peak_flops = flops_per_thread(context_.isa) * context_.threads;
  context_.peak_bytes = 1e10 * std::min(context_.threads, 8);
  const dnnl_version_t* version = dnnl_version();
  target_.kind = DeviceKind::cpu;
  target_.isa = std::string(name_of(context_.isa));
  target_.threads = context_.threads;
  target_.fast_math = context_.fast_math;
  target_.memory_bytes = memory_limit();
  target_.libraries = {fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch)};
}

KernelAnswer CpuOracle::ask(const Graph& body) const {
  KernelSpec question;
  question.body = body;
  const std::string key = question.key();
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = answers_.find(key); it != answers_.end()) {
      KernelAnswer answer = it->second;
      // The caller's own names, with the layouts that were decided for an equal body.
      if (answer.offer) {
        Graph named = body;
        for (std::size_t v = 0; v < named.values().size(); ++v) {
          const auto id = static_cast<ValueId>(v);
          named.value(id).layout = answer.offer->spec.body.value(id).layout;
        }
        answer.offer->spec.body = std::move(named);
      }
      return answer;
    }
  }
  const TeamSize team(context_.threads);  // oneDNN sizes scratch for the team that it sees
  KernelAnswer answer;
  if (std::string why = never_a_kernel(body); !why.empty()) {
    answer.refusals.push_back({"cpu", std::move(why)});
  } else {
    for (const Implementation& implementation : implementations()) {
      if (std::find(without_.begin(), without_.end(), implementation.name) != without_.end()) continue;
      Claim claim = implementation.claim(body, context_);
      if (claim.spec) {
        const double seconds = estimate(*claim.spec, claim.efficiency, context_);
        answer.offer = KernelOffer{std::move(*claim.spec), seconds, false};
        break;
      }
      answer.refusals.push_back({std::string(implementation.name), std::move(claim.reason)});
    }
  }
  const std::lock_guard lock(mutex_);
  answers_.emplace(key, answer);
  return answer;
}

std::vector<TunedKernel> CpuOracle::tune(std::span<const KernelUse> uses, double seconds,
                                         const std::function<bool()>& stop) {
  return tune_schedules(uses, context_, *schedules_, {.seconds = seconds, .stop = stop});
}

std::unique_ptr<CpuKernel> CpuOracle::compile(const KernelSpec& spec) const {
  for (const Implementation& implementation : implementations())
    if (implementation.name == spec.implementation) return implementation.compile(spec, context_);
  throw InternalError(fmt::format("the CPU device did not offer a kernel of implementation '{}'", spec.implementation));
}

std::vector<std::unique_ptr<Kernel>> CpuOracle::compile_all(std::span<const KernelSpec* const> specs) const {
  std::vector<std::unique_ptr<Kernel>> kernels(specs.size());
  std::vector<const KernelSpec*> generated;
  for (const KernelSpec* spec : specs)
    if (spec->implementation == "generated") generated.push_back(spec);
  auto made = compile_generated(generated, context_);
  auto next = made.begin();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i]->implementation == "generated")
      kernels[i] = std::move(*next++);
    else
      kernels[i] = compile(*specs[i]);
  }
  return kernels;
}

KernelSpec row_major_spec(const Graph& body, std::string_view implementation) {
  KernelSpec spec;
  spec.body = body;
  spec.implementation = std::string(implementation);
  const auto set = [&](ValueId v) {
    if (!spec.body.value(v).layout) spec.body.value(v).layout = Layout::dense(spec.body.type(v).shape);
  };
  for (const GraphInput& i : body.inputs()) set(i.value);
  for (const GraphOutput& o : body.outputs()) set(o.value);
  spec.bytes = operand_bytes(spec.body);
  return spec;
}

bool is_row_major(const Graph& body) {
  const auto plain = [&](ValueId v) { return !body.value(v).layout || body.value(v).layout->is_row_major(); };
  return std::all_of(body.inputs().begin(), body.inputs().end(), [&](const GraphInput& i) { return plain(i.value); }) &&
         std::all_of(body.outputs().begin(), body.outputs().end(),
                     [&](const GraphOutput& o) { return plain(o.value); });
}

double operand_bytes(const Graph& body) {
  double bytes = 0;
  // Of a window of another tensor, what lies between its rows does not count.
  const auto count = [&](ValueId v) {
    const Layout& layout = body.layout(v);
    std::int64_t elements = 1;
    for (int d = 0; d < layout.shape.rank(); ++d) elements *= layout.padded(d);
    bytes += static_cast<double>(std::min(elements, layout.storage_elements())) *
             static_cast<double>(size_of(body.type(v).dtype));
  };
  for (const GraphInput& i : body.inputs()) count(i.value);
  for (const GraphOutput& o : body.outputs()) count(o.value);
  return bytes;
}

}  // namespace weft::cpu
