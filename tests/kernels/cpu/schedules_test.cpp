// Schedules of generated kernels: equal bits whatever is chosen, and choosing by measured times.
#include "kernels/loops/schedule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <span>

#include "kernels/cpu/jit/codegen.hpp"
#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/schedule_tuner.hpp"
#include "kernels/cpu/scratch_operands.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"
#include "tests/kernels/interpreter/interpreter.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::cpu::testing {
namespace {

using loops::choices_text;
using loops::RowsSchedule;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using weft::testing::Body;
using weft::testing::random_tensor;
using weft::testing::TemporaryFolder;

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

// --- bits
// -------------------------------------------------------------------------------------------------------------

Context context_of(CpuIsa isa, const std::filesystem::path& cache = {}) {
  Context context;
  context.isa = isa;
  context.threads = 2;
  context.compiler = std::make_shared<KernelCompiler>(isa, CodeCacheOptions{.folder = cache});
  return context;
}

KernelSpec spec_of(const Graph& body, CpuIsa isa) {
  const auto device = make_cpu_device({.threads = 2, .isa = isa});
  const KernelAnswer answer = device->oracle().ask(body);
  EXPECT_TRUE(answer.offer) << body.str();
  EXPECT_EQ(answer.offer->spec.implementation, "generated");
  return answer.offer->spec;
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

// --- choosing
// ---------------------------------------------------------------------------------------------------------

/// A kernel whose lanes and tiles can be chosen, of `rows` rows.
KernelSpec tiled_spec(std::int64_t rows) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {rows, 144}});
  b.output("y", OutputRole::fetch, b.reduce(Op::reduce_sum, x, {0}, false));
  return spec_of(std::move(b).take(), CpuIsa::automatic);
}

/// Runs of the tuner over one cache, with made-up times.
class Tuning : public ::testing::Test {
 protected:
  /// Each call of the stopwatch takes the next of these; kernels beyond a round's times take as long as its last.
  std::vector<std::vector<double>> rounds;
  std::vector<TuningRound> asked;
  double now = 0, seconds_a_round = 0;
  bool stopped = false;

  std::vector<TunedKernel> tune(std::vector<const KernelSpec*> specs, double seconds = 10) {
    const Context context = context_of(CpuIsa::automatic, folder_.path() / "cache");
    std::vector<KernelUse> uses;
    for (const KernelSpec* spec : specs) uses.push_back({spec});
    choices = ScheduleChoices();
    TuningOptions options{.seconds = seconds, .least_bytes = 0};
    options.clock = [this] { return now; };
    options.stop = [this] { return stopped; };
    options.stopwatch = [this](std::span<const CpuKernel* const> kernels, const KernelUse&, TuningRound round) {
      now += seconds_a_round;
      std::vector<double> times = asked.size() < rounds.size() ? rounds[asked.size()] : std::vector<double>{1};
      asked.push_back(round);
      times.resize(kernels.size(), times.back());
      return times;
    };
    return tune_schedules(uses, context, choices, options);
  }

  std::filesystem::path cache() const { return folder_.path() / "cache"; }

  ScheduleChoices choices;
  const KernelSpec spec_ = tiled_spec(1000);

 private:
  const TemporaryFolder folder_;
};

TEST_F(Tuning, TakesWhatIsClearlyFasterTwiceAndKeepsItForTheNextStart) {
  rounds = {{1, 0.8, 1}, {1, 1, 1}, {1, 0.9}, {1, 1}};
  const auto tuned = tune({&spec_});
  ASSERT_THAT(tuned, SizeIs(1));
  EXPECT_EQ(tuned[0].schedule, "lanes*2");
  EXPECT_NEAR(tuned[0].speedup, 1 / 0.9, 1e-3);
  ASSERT_TRUE(choices.find(spec_));
  EXPECT_EQ(choices_text(*choices.find(spec_)), "lanes*2");
  EXPECT_THAT(asked, ElementsAre(TuningRound::cold, TuningRound::warm, TuningRound::cold, TuningRound::warm));

  asked.clear();
  const auto again = tune({&spec_}, 0);
  EXPECT_THAT(asked, IsEmpty());
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].schedule, "lanes*2");
  EXPECT_EQ(choices_text(*choices.find(spec_)), "lanes*2");
}

TEST_F(Tuning, KeepsTheDefaultWhereNothingIsFasterByTheMargin) {
  rounds = {{1, 0.97}, {1, 0.5}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, KeepsTheDefaultWhereTheOtherIsSlowerOnOperandsInTheCache) {
  rounds = {{1, 0.5}, {1, 1.1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
}

TEST_F(Tuning, KeepsTheDefaultWhereTheSecondLookFindsNoGain) {
  rounds = {{1, 0.5}, {1, 0.5}, {1, 1}, {1, 1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "default");
  EXPECT_THAT(asked, SizeIs(4));
}

TEST_F(Tuning, TakesBothWhereTwoChoicesAreFasterTogether) {
  // lanes*2, lanes*4, lanes*4 tiles/4, tiles*4: lanes*2 and tiles*4 win, and together most.
  rounds = {{1, 0.8, 1, 1, 0.7}, {1}, {1, 0.7, 0.6}, {1}};
  EXPECT_EQ(tune({&spec_}).at(0).schedule, "lanes*2 tiles*4");
}

TEST_F(Tuning, WithoutTimeLooksOnlyAtWhatWasFound) {
  EXPECT_THAT(tune({&spec_}, 0), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, LeavesTheDefaultWhereTimeRanOutAndTriesAgainOnlyWithMore) {
  const KernelSpec larger = tiled_spec(2000);
  seconds_a_round = 3;
  EXPECT_THAT(tune({&spec_, &larger}, 5), SizeIs(1));  // the larger, whose two rounds take six seconds
  EXPECT_THAT(asked, SizeIs(2));
  asked.clear();
  EXPECT_THAT(tune({&spec_, &larger}, 5), SizeIs(1));
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(tune({&spec_, &larger}, 7), SizeIs(2));
  EXPECT_THAT(asked, SizeIs(2));
}

TEST_F(Tuning, StartsNothingMoreOfAKernelForWhichTimeRanOut) {
  rounds = {{1, 0.5}, {1}, {1, 0.5}, {1}};
  seconds_a_round = 3;
  EXPECT_THAT(tune({&spec_}, 2), IsEmpty());
  EXPECT_THAT(asked, ElementsAre(TuningRound::cold));
  asked.clear();
  EXPECT_THAT(tune({&spec_}, 5), IsEmpty());  // two rounds, and none to confirm what was faster in them
  EXPECT_THAT(asked, SizeIs(2));
  asked.clear();
  EXPECT_THAT(tune({&spec_}, 5), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(tune({&spec_}, 12), SizeIs(1));
}

TEST_F(Tuning, ReadsTheClockBeforeEachRun) {
  const Context context = context_of(CpuIsa::automatic, cache());
  const KernelUse use{&spec_};
  // Filling memory and compiling read it too, a few times.
  int read = 0;
  TuningOptions options{.seconds = 60, .least_bytes = 0};
  options.clock = [&] { return static_cast<double>(read++); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
  EXPECT_NEAR(read, 61, 3);
}

TEST_F(Tuning, LeavesTheRestToALaterStartWhenToldToStop) {
  const KernelSpec larger = tiled_spec(2000);
  stopped = true;
  EXPECT_THAT(tune({&spec_, &larger}), IsEmpty());
  EXPECT_THAT(asked, IsEmpty());
  stopped = false;
  EXPECT_THAT(tune({&spec_, &larger}), SizeIs(2));
}

TEST_F(Tuning, TakesAtMostHalfOfTheMemoryThatIsLeft) {
  const Context context = context_of(CpuIsa::automatic, cache());
  const KernelUse use{&spec_};
  const std::int64_t wanted = std::max(launch_bytes(spec_), 2 * last_level_cache_bytes());
  TuningOptions options{.seconds = 60, .least_bytes = 0};
  options.available_bytes = [&] { return 2 * wanted - 1; };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
  options.available_bytes = [&] { return 2 * wanted; };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), SizeIs(1));
}

TEST_F(Tuning, MeasuresNothingOnceTheCacheCannotBeWritten) {
  const Context context = context_of(CpuIsa::automatic, cache());
  std::filesystem::remove_all(cache());
  const KernelUse use{&spec_};
  TuningOptions options{.seconds = 10, .least_bytes = 0};
  options.stopwatch = [](auto, const auto&, auto) -> std::vector<double> { throw InternalError("measured"); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
}

TEST_F(Tuning, TakesNoDamagedNote) {
  rounds = {{1, 0.5}, {1}, {1, 0.5}, {1}};
  tune({&spec_});
  for (const auto& entry : std::filesystem::directory_iterator(cache())) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-2, std::ios::end);
    file.write("!!", 2);
  }
  EXPECT_THAT(tune({&spec_}, 0), IsEmpty());
  EXPECT_FALSE(choices.find(spec_));
}

TEST_F(Tuning, TakesNoNoteThatMeansNothing) {
  const Context context = context_of(CpuIsa::automatic, cache());
  tune({&spec_});
  // Everything in the cache, notes included, under its own key with another text: whole, and senseless.
  for (const char* text :
       {"", "1.5", "1.5 lanes*3", "nan lanes*2", "untried", "untried x", "1e999 default", "-1 lanes*2"}) {
    const loops::Kernel kernel = *scheduled_loops(spec_, {context.compiler->register_bytes()});
    context.compiler->note(note_heading(context.threads), kernel, text);
    EXPECT_THAT(tune({&spec_}, 0), IsEmpty()) << text;
  }
}

TEST_F(Tuning, DoesNothingWithoutACacheToKeepItIn) {
  const Context context = context_of(CpuIsa::automatic);
  const KernelUse use{&spec_};
  TuningOptions options{.seconds = 10, .least_bytes = 0};
  options.stopwatch = [](auto, const auto&, auto) -> std::vector<double> { throw InternalError("measured"); };
  EXPECT_THAT(tune_schedules({&use, 1}, context, choices, options), IsEmpty());
}

TEST(TunedDevice, ComputesWhatAnotherDoesBitForBit) {
  const TemporaryFolder folder;
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, {25000, 144}, 8));
  body.out(body.b.reduce(Op::reduce_sum, body.b.mul(x, x), {0}, false));
  const std::vector<Tensor> inputs = body.values;
  const Graph graph = std::move(body.b).take();
  const auto plain = make_cpu_device({.threads = 2});
  const auto tuned = make_cpu_device({.threads = 2, .code_cache = (folder.path() / "cache").string()});
  const KernelSpec spec = tuned->oracle().ask(graph).offer->spec;
  const KernelUse use{&spec};
  EXPECT_THAT(tuned->tune({&use, 1}, 5), SizeIs(1));
  const auto want = weft::testing::run_body(*plain, graph, inputs),
             got = weft::testing::run_body(*tuned, graph, inputs);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i]));
}

}  // namespace
}  // namespace weft::cpu::testing
