// The team shares the blocks of all segments.
#include "kernels/cpu/generated_segments.hpp"

#include <algorithm>

#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/loops/segments.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

loops::SegmentsKernel segments_for(const Graph& body, const Context& context) {
  return loops::make_segments(body, {context.compiler->register_bytes()});
}

class SegmentedKernel final : public CpuKernel {
 public:
  SegmentedKernel(std::vector<loops::Segment> segments, std::shared_ptr<const KernelCode> code, int threads)
      : segments_(std::move(segments)), code_(std::move(code)), threads_(threads) {
    for (const loops::Segment& s : segments_) {
      ends_.push_back(blocks() + (s.elements + loops::kSegmentBlock - 1) / loops::kSegmentBlock);
      work_ += s.elements;
    }
  }

  void run(std::span<std::byte* const> arguments) const override {
    parallel_ranges(threads_, blocks(), 1, work_, [&](int, std::int64_t begin, std::int64_t end) {
      std::vector<std::byte*> own;
      auto s = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
      for (; begin < end; ++s) {
        const std::int64_t first = s == 0 ? 0 : ends_[s - 1], last = std::min(end, ends_[s]);
        own.clear();
        for (const std::size_t a : segments_[s].arguments) own.push_back(arguments[a]);
        std::int64_t elements = segments_[s].elements;
        own.push_back(reinterpret_cast<std::byte*>(&elements));
        code_->phases()[0](own.data(), begin - first, last - first);
        begin = last;
      }
    });
  }

 private:
  std::int64_t blocks() const { return ends_.empty() ? 0 : ends_.back(); }

  std::vector<loops::Segment> segments_;
  std::vector<std::int64_t> ends_;  ///< by segment: the blocks up to its end
  std::shared_ptr<const KernelCode> code_;
  std::int64_t work_ = 0;
  int threads_;
};

}  // namespace

Claim claim_segments(const Graph& body, const Context& context) {
  loops::SegmentsKernel made = segments_for(body, context);
  if (!made.refusal.empty()) return Claim::refuse(std::move(made.refusal));
  KernelSpec spec;
  spec.body = std::move(made.body);
  spec.implementation = "generated.segments";
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_segments(const KernelSpec& spec, const Context& context) {
  loops::SegmentsKernel made = segments_for(spec.body, context);
  check_internal(made.refusal.empty(), "segmented kernel compiled without a claim: " + made.refusal);
  return std::make_unique<SegmentedKernel>(std::move(made.segments), context.compiler->compile(made.kernel),
                                           context.threads);
}

}  // namespace weft::cpu
