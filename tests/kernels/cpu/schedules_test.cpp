// Schedules of generated kernels: equal bits whatever is chosen.
#include "kernels/loops/schedule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <span>

#include "kernels/cpu/generated.hpp"
#include "kernels/cpu/jit/codegen.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"
#include "tests/kernels/cpu/scheduled_kernel.hpp"
#include "tests/kernels/interpreter/interpreter.hpp"

namespace weft::cpu::testing {
namespace {

using loops::choices_text;
using loops::RowsSchedule;
using weft::testing::Body;
using weft::testing::random_tensor;

constexpr int kRegister = 64;

std::vector<RowsSchedule> all_schedules(int register_bytes) {
  std::vector<RowsSchedule> result;
  for (int lanes = 0; lanes <= 2; ++lanes)
    for (const int tiles : {-2, 0, 2})
      for (const bool streaming : {false, true}) result.push_back({register_bytes, lanes, tiles, streaming});
  return result;
}

TEST(ScheduleText, IsReadAsItWasWritten) {
  EXPECT_EQ(choices_text({kRegister}), "default");
  EXPECT_EQ(choices_text({kRegister, 1, -2, true}), "lanes*2 tiles/4 streaming");
  EXPECT_EQ(choices_text({kRegister, 0, 2, false}), "tiles*4");
  for (const RowsSchedule& s : all_schedules(kRegister))
    EXPECT_EQ(loops::schedule_from(choices_text(s), kRegister), s) << choices_text(s);
}

TEST(ScheduleText, NothingElseIsRead) {
  for (const char* text :
       {"", "lanes*3", "lanes*2 ", " default", "streaming lanes*2", "tiles*1024", "default streaming"})
    EXPECT_EQ(loops::schedule_from(text, kRegister), std::nullopt) << text;
}

/// The arguments of a launch, results first filled with something, `shift` bytes from a line's begin.
struct Launch {
  Launch(const KernelSpec& spec, const std::vector<Tensor>& inputs, std::size_t shift) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const ValueId v = spec.body.inputs()[i].value;
      const auto data = weft::testing::laid_out(inputs[i], spec.body.layout(v));
      std::memcpy(add(data.size(), 0), data.data(), data.size());
    }
    for (const GraphOutput& o : spec.body.outputs()) {
      const auto bytes = static_cast<std::size_t>(spec.body.layout(o.value).bytes(spec.body.type(o.value).dtype));
      results.push_back({add(bytes, shift), bytes});
    }
    if (spec.scratch_bytes > 0) add(static_cast<std::size_t>(spec.scratch_bytes), 0);
  }
  std::byte* add(std::size_t bytes, std::size_t shift) {
    memory.emplace_back(bytes + 128, std::byte{0xa5});
    auto address = reinterpret_cast<std::uintptr_t>(memory.back().data());
    arguments.push_back(memory.back().data() + (64 - address % 64) % 64 + shift);
    return arguments.back();
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (const auto& r : results) all.insert(all.end(), r.begin(), r.end());
    return all;
  }
  std::vector<std::vector<std::byte>> memory;
  std::vector<std::byte*> arguments;
  std::vector<std::span<std::byte>> results;
};

/// A tensor of rows, a vector along the columns, and what is made of them.
std::vector<Body> bodies() {
  std::vector<Body> result;
  const auto add = [&](DType type, std::int64_t rows, std::int64_t columns, const auto& make) {
    Body body;
    const ValueId x = body.in(random_tensor(type, {rows, columns}, 3));
    const ValueId y = body.in(random_tensor(type, {rows, columns}, 4));
    make(body, x, y);
    result.push_back(std::move(body));
  };
  const auto elementwise = [](Body& body, ValueId x, ValueId y) {
    body.out(body.b.add(body.b.mul(x, y), body.b.unary(Op::tanh, x)));
    body.out(body.b.sub(x, y));
  };
  const auto light = [](Body& body, ValueId x, ValueId y) { body.out(body.b.add(x, y)); };
  const auto column_sums = [](Body& body, ValueId x, ValueId y) {
    body.out(body.b.reduce(Op::reduce_sum, x, {0}, false));
    body.out(body.b.reduce(Op::reduce_sum, body.b.mul(x, y), {0}, false));
    body.out(body.b.add(x, y));
  };
  const auto row_sums = [](Body& body, ValueId x, ValueId y) {
    const ValueId e = body.b.mul(x, y);
    body.out(body.b.div(e, body.b.reduce(Op::reduce_sum, e, {1}, true)));
  };
  for (const DType type : {DType::f32, DType::bf16, DType::f64, DType::i32}) {
    for (const std::int64_t columns : {7, 64, 1000}) add(type, 64, columns, light);
    if (!is_float(type)) continue;
    if (type != DType::f64) add(type, 5, 4100, elementwise);
    for (const std::int64_t columns : {3, 100, 144}) add(type, 1111, columns, column_sums);
    add(type, 33, 130, row_sums);
  }
  return result;
}

class Schedules : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(Schedules, AllGiveTheBitsOfTheDefaultOnAnyMemory) {
  const Context context = context_of(GetParam());
  for (Body& body : bodies()) {
    const std::vector<Tensor> inputs = body.values;
    const KernelSpec spec = spec_of(std::move(body.b).take(), GetParam());
    std::vector<ScheduledSpec> wanted{{&spec, {context.compiler->register_bytes()}}};
    std::set<std::string> texts;
    for (const RowsSchedule& s : all_schedules(context.compiler->register_bytes()))
      if (texts.insert(scheduled_loops(spec, s)->str()).second) wanted.push_back({&spec, s});
    const auto kernels = compile_scheduled(wanted, context);
    Launch first(spec, inputs, 0);
    kernels[0]->run(first.arguments);
    for (std::size_t k = 1; k < kernels.size(); ++k)
      for (const std::size_t shift : {0, 16, 8}) {
        Launch launch(spec, inputs, shift);
        kernels[k]->run(launch.arguments);
        ASSERT_EQ(launch.bytes(), first.bytes()) << choices_text(wanted[k].schedule) << " at " << shift << " of\n"
                                                 << spec.body.str();
      }
  }
}

TEST_P(Schedules, AllGiveTheBitsOfTheDefaultInWindowsOfOtherTensorsAndNothingBetween) {
  const Context context = context_of(GetParam());
  const int r = context.compiler->register_bytes();
  const RowsSchedule tried[] = {{r, 0, 0, true}, {r, 2, 0, true}, {r, 1, -2, true}, {r, 2, 2, false}};
  for (const DType type : {DType::f32, DType::bf16})
    for (const std::int64_t columns : {64, 5000})
      for (const std::int64_t between : {3, 64})
        for (const bool reduced : {false, true}) {
          const std::int64_t rows = columns > 1000 ? 20 : 700;
          Body body;
          const ValueId x = body.in(random_tensor(type, {rows, columns}, 3)),
                        y = body.in(random_tensor(type, {columns}, 4));
          body.out(body.b.mul(x, y));
          if (reduced) body.out(body.b.reduce(Op::reduce_sum, x, {0}, false));
          const std::vector<Tensor> inputs = body.values;
          Graph graph = std::move(body.b).take();
          Layout window = Layout::dense({rows, columns});
          window.strides[0] = columns + between;
          graph.value(graph.outputs()[0].value).layout = window;
          const KernelSpec spec = spec_of(graph, GetParam());
          ASSERT_EQ(spec.body.layout(spec.body.outputs()[0].value), window);
          std::vector<ScheduledSpec> wanted{{&spec, {r}}};
          for (const RowsSchedule& s : tried) wanted.push_back({&spec, s});
          const auto kernels = compile_scheduled(wanted, context);
          for (const std::size_t shift : {0, 16, 12}) {
            Launch first(spec, inputs, shift);
            kernels[0]->run(first.arguments);
            for (std::size_t k = 1; k < kernels.size(); ++k) {
              Launch launch(spec, inputs, shift);
              kernels[k]->run(launch.arguments);
              ASSERT_EQ(launch.bytes(), first.bytes()) << choices_text(wanted[k].schedule) << " at " << shift << " of\n"
                                                       << spec.body.str();
            }
          }
        }
}

TEST_P(Schedules, AllGiveWhatTheInterpreterOfTheirLoopsGives) {
  const Context context = context_of(GetParam());
  int streamed = 0;
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, {640, 72}, 5)),
                y = body.in(random_tensor(DType::f32, {640, 72}, 6));
  body.out(body.b.reduce(Op::reduce_sum, body.b.mul(x, y), {0}, false));
  body.out(body.b.add(x, y));
  const std::vector<Tensor> inputs = body.values;
  const KernelSpec spec = spec_of(std::move(body.b).take(), GetParam());
  for (const RowsSchedule& s : all_schedules(context.compiler->register_bytes())) {
    const loops::Kernel kernel = *scheduled_loops(spec, s);
    streamed += kernel.str().find("stream ") != std::string::npos;
    Launch want(spec, inputs, 0), got(spec, inputs, 0);
    loops::testing::interpret(kernel, want.arguments, {context.compiler->target().fma});
    const ScheduledSpec one[] = {{&spec, s}};
    compile_scheduled(one, context).front()->run(got.arguments);
    ASSERT_EQ(got.bytes(), want.bytes()) << choices_text(s) << "\n" << kernel.str();
  }
  EXPECT_GT(streamed, 0);
}

TEST_P(Schedules, WholeAlignedVectorsAreStreamedAndTailsAreNot) {
  const Context context = context_of(GetParam());
  const auto code = [&](std::int64_t rows, std::int64_t columns, bool streaming) {
    // A vector along the columns keeps rows and columns from being one loop.
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {DType::f32, {rows, columns}});
    const ValueId y = b.input("y", InputRole::feed, {DType::f32, {columns}});
    b.output("z", OutputRole::fetch, b.add(x, y));
    const KernelSpec spec = spec_of(std::move(b).take(), GetParam());
    return assembly_text(*scheduled_loops(spec, {context.compiler->register_bytes(), 0, 0, streaming}),
                         context.compiler->target());
  };
  using ::testing::HasSubstr;
  using ::testing::Not;
  EXPECT_THAT(code(64, 4096, true), AllOf(HasSubstr("movntps"), HasSubstr("sfence")));
  EXPECT_THAT(code(64, 4096, false), AllOf(Not(HasSubstr("movnt")), Not(HasSubstr("sfence"))));
  EXPECT_THAT(code(64, 4097, true), AllOf(Not(HasSubstr("movnt")), Not(HasSubstr("sfence"))));
}

TEST_P(Schedules, AResultOverItsOperandIsWrittenThroughTheCacheWithEqualBits) {
  const Context context = context_of(GetParam());
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, {64, 1024}, 7));
  body.out(body.b.unary(Op::exp, x));
  const std::vector<Tensor> inputs = body.values;
  const KernelSpec spec = spec_of(std::move(body.b).take(), GetParam());
  const ScheduledSpec both[] = {{&spec, {context.compiler->register_bytes()}},
                                {&spec, {context.compiler->register_bytes(), 1, 0, true}}};
  const auto kernels = compile_scheduled(both, context);
  Launch apart(spec, inputs, 0), over(spec, inputs, 0);
  kernels[0]->run(apart.arguments);
  over.arguments[1] = over.arguments[0];
  kernels[1]->run(over.arguments);
  EXPECT_EQ(std::memcmp(over.arguments[0], apart.results[0].data(), apart.results[0].size()), 0);
}

std::vector<CpuIsa> instruction_sets() {
  std::vector<CpuIsa> found;
  for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2, CpuIsa::baseline}) try {
      found.push_back(resolve_isa(isa));
    } catch (const UserError&) {
    }
  return found;
}

INSTANTIATE_TEST_SUITE_P(On, Schedules, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace weft::cpu::testing
