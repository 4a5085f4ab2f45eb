// Kernels of whole training steps, one by one, as fractions of what this machine can do.
//
//     bench_kernels [--benchmark_filter=resnet18] [--benchmark_format=json]      (OMP_NUM_THREADS sets the threads)
//
// Each distinct kernel of the steps of LeNet (batch 64) and ResNet-18 (batch 32) is a benchmark. Counters:
//   best_us          fastest launch, microseconds (noise only ever adds)
//   uses             launches in one step
//   of_peak          contractions: multiply-adds a second over the measured matrix-product peak
//   of_bandwidth     operand bytes a second over the measured triad bandwidth (above 1: operands stay in cache)
// "MODEL/step" is the whole step through the executor, "launch" the cost of a kernel that does almost nothing.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <random>

#include "graph/ir/builder.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/import.hpp"
#include "graph/training/training_step.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/executor/executor.hpp"
#include "tests/bench/measure.hpp"
#include "weft/error.hpp"
#include "weft/job.hpp"

namespace weft {
namespace {

using bench::best_seconds;
using bench::Clock;
using bench::LoadedKernel;

struct Machine {
  double flops = 0, bandwidth = 0;
};

Machine measure(Device& device) {
  Machine machine;
  const Clock clock(device.target().threads);
  bench::SquareProduct product(device, DType::f32);
  machine.flops = bench::SquareProduct::flops() / best_seconds(clock, 1.0, [&] { product.run(); });
  bench::Triad triad(device);
  machine.bandwidth = bench::Triad::bytes() / best_seconds(clock, 1.0, [&] { triad.run(); });
  return machine;
}

Lowered lowered_step(const std::string& model, std::int64_t batch, const KernelOracle& oracle, TrainingGraph& step,
                     Model& imported) {
  onnx::ImportOptions options;
  options.symbols["N"] = batch;
  imported = onnx::import_model(build_model(model), options);
  JobSpec job;
  job.name = model;
  job.batch = batch;
  job.metrics = {"accuracy"};
  job.optimizer.lr = 0.05;
  job.optimizer.momentum = 0.9;
  job.optimizer.weight_decay = 5e-4;
  StepShape shape;
  shape.pass_samples = shape.step_samples = batch;
  shape.run = {100, 100};
  step = build_training_step(imported, job, shape);
  return lower(step.graph, oracle, {});
}

void report(benchmark::State& state, double best) { state.counters["best_us"] = best * 1e6; }

void time_kernel(benchmark::State& state, Device& device, const KernelSpec& spec, int uses, const Machine& machine) {
  LoadedKernel kernel(device, spec);
  const Clock clock(device.target().threads);
  kernel.launch();
  double best = std::numeric_limits<double>::max();
  for (auto _ : state) {
    const double start = clock.now();
    kernel.launch();
    const double seconds = clock.now() - start;
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  report(state, best);
  state.counters["uses"] = uses;
  if (spec.flops > 0) state.counters["of_peak"] = spec.flops / best / machine.flops;
  if (spec.bytes > 0) state.counters["of_bandwidth"] = spec.bytes / best / machine.bandwidth;
}

/// A step with all that it runs on.
class Step {
 public:
  Step(Device& device, const std::string& model, std::int64_t batch)
      : device_(device), states_(device), cache_(device), arena_(device) {
    lowered_ = lowered_step(model, batch, device.oracle(), step_, model_);
  }
  const Lowered& lowered() const { return lowered_; }

  void time(benchmark::State& state) {
    prepare();
    const Clock clock(device_.target().threads);
    executor_->run(1);
    double best = std::numeric_limits<double>::max();
    for (auto _ : state) {
      const double start = clock.now();
      executor_->run(1);
      const double seconds = clock.now() - start;
      state.SetIterationTime(seconds);
      best = std::min(best, seconds);
    }
    report(state, best);
    state.counters["instructions"] = static_cast<double>(lowered_.program.instructions.size());
  }

 private:
  void prepare() {
    if (executor_) return;
    for (const ModelState& s : model_.states)
      if (step_.graph.find_input(s.name) != kNone) states_.add(s.name, s.initial);
    for (const AddedState& s : step_.added) states_.add(s.name, s.initial);
    arena_.reserve(lowered_.program.arena_bytes[static_cast<int>(MemorySpace::host)], MemorySpace::host);
    executor_ = std::make_unique<Executor>(lowered_.program, device_, states_, cache_, arena_, nullptr);
    std::mt19937 engine(7);
    std::uniform_real_distribution<float> value(0, 1);
    for (const GraphInput& i : step_.graph.inputs())
      if (i.role != InputRole::state && executor_->has_feed(i.name)) {
        feeds_.emplace_back(step_.graph.type(i.value).dtype, step_.graph.type(i.value).shape);
        if (feeds_.back().dtype() == DType::f32)
          for (float& x : feeds_.back().mutable_values<float>()) x = value(engine);
        executor_->bind(i.name, feeds_.back());
      }
  }

  Device& device_;
  Model model_;
  TrainingGraph step_;
  Lowered lowered_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  std::unique_ptr<Executor> executor_;
  std::deque<Tensor> feeds_;
};

void add_benchmarks(Device& device, const std::string& model, std::int64_t batch, const Machine& machine) {
  auto step = std::make_shared<Step>(device, model, batch);
  const std::string prefix = fmt::format("{}_b{}", model, batch);
  const Program& program = step->lowered().program;
  std::map<int, std::pair<int, std::string>> uses;  // kernel -> launches, name of the first
  for (const Instruction& i : program.instructions)
    if (i.kind == InstructionKind::kernel) {
      auto& [count, name] = uses[i.kernel];
      if (count++ == 0) name = i.name;
    }
  for (const auto& [kernel, use] : uses) {
    const KernelSpec& spec = program.kernels[static_cast<std::size_t>(kernel)];
    const std::string name = fmt::format("{}/{}/{} {}", prefix, spec.implementation, use.second, kernel);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&device, spec, machine, count = use.first](benchmark::State& state) {
                                   time_kernel(state, device, spec, count, machine);
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::RegisterBenchmark((prefix + "/step").c_str(), [step](benchmark::State& state) { step->time(state); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

/// One element on every thread's share: what a launch costs beyond its work.
void add_launch(Device& device, const Machine& machine) {
  for (const std::int64_t count : {std::int64_t{16}, std::int64_t{32768}}) {
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {DType::u8, Shape{count}});
    b.output("y", OutputRole::fetch, b.unary(Op::bit_not, x));
    const KernelSpec spec = device.oracle().ask(b.graph()).offer->spec;
    benchmark::RegisterBenchmark(
        fmt::format("launch/{} bytes", count).c_str(),
        [&device, spec, machine](benchmark::State& state) { time_kernel(state, device, spec, 1, machine); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto device = make_cpu_device({});
  const Machine machine = measure(*device);
  benchmark::AddCustomContext("target", device->target().str());
  benchmark::AddCustomContext("matmul_gflops", fmt::format("{:.1f}", machine.flops / 1e9));
  benchmark::AddCustomContext("triad_gbytes", fmt::format("{:.1f}", machine.bandwidth / 1e9));
  add_launch(*device, machine);
  add_benchmarks(*device, "lenet", 64, machine);
  add_benchmarks(*device, "resnet18", 32, machine);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  try {
    return weft::run(argc, argv);
  } catch (const weft::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
