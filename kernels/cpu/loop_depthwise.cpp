// Threads take pairs of sample and channel block; a gradient to the filter sums runs of samples apart and then adds
// them in order. The filter is repacked, 16 channels side by side, into scratch.
#include "kernels/cpu/loop_depthwise.hpp"

#include <algorithm>

#include "kernels/cpu/depthwise_ops.hpp"
#include "kernels/cpu/depthwise_plan.hpp"
#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/parallel.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

std::int64_t block_count(const DepthwisePlan& plan) { return static_cast<std::int64_t>(plan.first_lanes.size()); }

/// Parts that the samples of a gradient to the filter are cut into, so that all threads have work.
std::int64_t slice_count(const DepthwisePlan& plan, int threads) {
  if (plan.op != Op::conv_filter_grad) return 1;
  const std::int64_t wanted = (2 * threads + block_count(plan) - 1) / block_count(plan);
  return std::min(plan.samples, wanted);
}

class DepthwiseKernel final : public CpuKernel {
 public:
  DepthwiseKernel(DepthwisePlan plan, const Graph& body, const Context& context)
      : plan_(std::move(plan)), ops_(depthwise_ops(context.isa)), threads_(context.threads) {
    line_ = argument_of(body, plan_.line);
    slide_ = argument_of(body, plan_.slide);
    filter_ = argument_of(body, plan_.filter);
    scratch_ = body.inputs().size() + body.outputs().size();
    slices_ = slice_count(plan_, threads_);
    for (const auto& positions : plan_.outer) outer_lines_ *= static_cast<std::int64_t>(positions.size());
  }

  void run(std::span<std::byte* const> arguments) const override {
    float* packed = reinterpret_cast<float*>(arguments[scratch_]);
    float* line = reinterpret_cast<float*>(arguments[line_]);
    const float* slide = reinterpret_cast<const float*>(arguments[slide_]);
    float* filter = reinterpret_cast<float*>(arguments[filter_]);
    if (plan_.op == Op::conv_filter_grad) return filter_gradient(line, slide, packed, filter);
    for_blocks([&](std::int64_t block) { pack(filter, block, packed + block * block_floats()); });
    parallel_ranges(threads_, plan_.samples * blocks(), 1, work(), [&](int, std::int64_t begin, std::int64_t end) {
      std::vector<DepthwiseTap> taps;
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t sample = i / blocks(), block = i % blocks();
        const std::int64_t first = plan_.first_lanes[static_cast<std::size_t>(block)];
        float* out = line + at(plan_.line_place, sample, block);
        const float* in = slide + at(plan_.slide_place, sample, block);
        const float* w = packed + block * block_floats();
        each_run(taps, [&](std::int64_t from, const DepthwisePlan::Run& run) {
          ops_.line(in, taps.data(), static_cast<std::int64_t>(taps.size()), w, out + from, plan_.slide_step,
                    plan_.line_step, run.count, first);
        });
      }
    });
  }

 private:
  std::int64_t blocks() const { return block_count(plan_); }
  std::int64_t block_floats() const { return plan_.taps * kDepthwiseLanes; }
  std::int64_t work() const { return plan_.samples * plan_.channels * outer_lines_ * plan_.taps; }
  static std::int64_t at(const DepthwisePlan::Place& place, std::int64_t sample, std::int64_t block) {
    return sample * place.sample + place.blocks[static_cast<std::size_t>(block)];
  }

  template <class F>
  void for_blocks(const F& f) const {
    parallel_ranges(threads_, blocks(), 1, plan_.channels * plan_.taps, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) f(b);
    });
  }

  std::int64_t channel(std::int64_t block, std::int64_t lane) const {
    return std::min(block * kDepthwiseLanes, plan_.channels - kDepthwiseLanes) + lane;
  }

  void pack(const float* filter, std::int64_t block, float* packed) const {
    for (std::int64_t lane = 0; lane < kDepthwiseLanes; ++lane)
      for (std::int64_t t = 0; t < plan_.taps; ++t)
        packed[t * kDepthwiseLanes + lane] = filter[channel(block, lane) * plan_.taps + t];
  }

  /// Calls visit(offset of the run's first position in the line's operand, run) for each run of each line, with `taps`
  /// set to those inside.
  template <class Visit>
  void each_run(std::vector<DepthwiseTap>& taps, const Visit& visit) const {
    std::vector<DepthwiseTap> outer, longer;
    for (std::int64_t l = 0; l < outer_lines_; ++l) {
      outer.assign(1, {});
      std::int64_t rest = l, from = 0;
      for (std::size_t d = plan_.outer.size(); d-- > 0;) {
        const auto& positions = plan_.outer[d];
        const std::int64_t extent = static_cast<std::int64_t>(positions.size()), position = rest % extent;
        rest /= extent;
        from += position * plan_.line_place.spatial[d];
        longer.clear();
        for (const DepthwiseTap& mine : positions[static_cast<std::size_t>(position)])
          for (const DepthwiseTap& o : outer) longer.push_back({mine.offset + o.offset, mine.tap + o.tap});
        outer.swap(longer);
      }
      for (const DepthwisePlan::Run& run : plan_.runs) {
        taps.clear();
        for (const DepthwiseTap& o : outer)
          for (const DepthwiseTap& t : run.taps) taps.push_back({o.offset + t.offset, o.tap + t.tap});
        visit(from + run.line_offset, run);
      }
    }
  }

  void filter_gradient(const float* dy, const float* x, float* sums, float* filter) const {
    parallel_ranges(threads_, slices_ * blocks(), 1, work(), [&](int, std::int64_t begin, std::int64_t end) {
      std::vector<DepthwiseTap> taps;
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t slice = i / blocks(), block = i % blocks();
        float* mine = sums + i * block_floats();
        std::fill_n(mine, block_floats(), 0.0f);
        for (std::int64_t n = plan_.samples * slice / slices_; n < plan_.samples * (slice + 1) / slices_; ++n) {
          const float* in = x + at(plan_.slide_place, n, block);
          const float* grad = dy + at(plan_.line_place, n, block);
          each_run(taps, [&](std::int64_t from, const DepthwisePlan::Run& run) {
            ops_.accumulate(in, taps.data(), static_cast<std::int64_t>(taps.size()), grad + from, mine,
                            plan_.slide_step, plan_.line_step, run.count);
          });
        }
      }
    });
    for_blocks([&](std::int64_t block) {
      for (std::int64_t lane = plan_.first_lanes[static_cast<std::size_t>(block)]; lane < kDepthwiseLanes; ++lane)
        for (std::int64_t t = 0; t < plan_.taps; ++t) {
          float sum = 0;
          for (std::int64_t s = 0; s < slices_; ++s)
            sum += sums[(s * blocks() + block) * block_floats() + t * kDepthwiseLanes + lane];
          filter[channel(block, lane) * plan_.taps + t] = sum;
        }
    });
  }

  DepthwisePlan plan_;
  DepthwiseOps ops_;
  int threads_;
  std::size_t line_ = 0, slide_ = 0, filter_ = 0, scratch_ = 0;
  std::int64_t slices_ = 1, outer_lines_ = 1;
};

}  // namespace

Claim claim_depthwise(const Graph& body, const Context& context) {
  KernelSpec spec;
  spec.body = body;
  const DepthwisePlan plan = plan_depthwise(spec.body);
  if (!plan.refusal.empty()) return Claim::refuse(plan.refusal);
  spec.implementation = "loop.depthwise";
  spec.scratch_bytes = slice_count(plan, context.threads) * block_count(plan) * plan.taps * kDepthwiseLanes *
                       static_cast<std::int64_t>(sizeof(float));
  const ValueId y = plan.op == Op::conv_data_grad ? plan.slide : plan.line;
  spec.flops = 2.0 * static_cast<double>(body.type(y).shape.elements()) * static_cast<double>(plan.taps);
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec), 0.6);
}

std::unique_ptr<CpuKernel> compile_depthwise(const KernelSpec& spec, const Context& context) {
  Graph body = spec.body;
  DepthwisePlan plan = plan_depthwise(body);
  check_internal(plan.refusal.empty(), "depthwise convolution compiled without a claim: " + plan.refusal);
  return std::make_unique<DepthwiseKernel>(std::move(plan), body, context);
}

}  // namespace weft::cpu
