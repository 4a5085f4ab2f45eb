// Kernels overwrite their operands where they say that they can, whatever they are called.
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/builder.hpp"
#include "graph/lowering/lower.hpp"

namespace weft {
namespace {

/// A device with one kernel an operator.
class OneOperatorAKernel final : public KernelOracle {
 public:
  explicit OneOperatorAKernel(bool overwrites) : overwrites_(overwrites) {}
  const Target& target() const override { return target_; }
  KernelAnswer ask(const Graph& body) const override {
    KernelAnswer answer;
    if (body.nodes().size() != 1) {
      answer.refusals.push_back({"another.device", "one operator a kernel"});
      return answer;
    }
    KernelSpec spec;
    spec.body = body;
    spec.implementation = "another.device";
    spec.overwrites_operands = overwrites_;
    for (std::size_t v = 0; v < body.values().size(); ++v)
      spec.body.value(static_cast<ValueId>(v)).layout = Layout::dense(body.type(static_cast<ValueId>(v)).shape);
    answer.offer = KernelOffer{std::move(spec), 1e-6, false};
    return answer;
  }

 private:
  Target target_;
  bool overwrites_;
};

/// A chain of three operators on a feed, and a state that is negated.
Program chain(bool overwrites) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {1024}});
  const ValueId s = b.input("s", InputRole::state, {DType::f32, {1024}});
  b.output("y", OutputRole::fetch, b.unary(Op::sqrt, b.unary(Op::tanh, b.unary(Op::exp, x))));
  b.output("s", OutputRole::state, b.unary(Op::neg, s));
  return lower(std::move(b).take(), OneOperatorAKernel(overwrites), {}).program;
}

std::size_t copies(const Program& program) {
  return static_cast<std::size_t>(std::count_if(program.instructions.begin(), program.instructions.end(),
                                                [](const auto& i) { return i.kind == InstructionKind::copy; }));
}

TEST(Overwriting, AKernelThatAllowsItTakesItsOperandsMemoryAndUpdatesStatesInPlace) {
  const Program program = chain(true);
  EXPECT_EQ(program.arena_bytes[0], 4096);
  EXPECT_EQ(copies(program), 0U);
}

TEST(Overwriting, AKernelThatDoesNotAllowItNeverWritesOverItsOperands) {
  const Program program = chain(false);
  EXPECT_EQ(program.arena_bytes[0], 8192);
  EXPECT_EQ(copies(program), 1U) << "the state is updated at the end";
  for (const Instruction& i : program.instructions)
    for (const View& w : i.writes)
      for (const View& r : i.reads) EXPECT_NE(r.buffer, w.buffer) << i.name;
}

}  // namespace
}  // namespace weft
