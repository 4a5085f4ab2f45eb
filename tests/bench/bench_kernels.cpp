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

#include <ctime>
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
#include "weft/error.hpp"
#include "weft/job.hpp"

namespace weft {
namespace {

/// Seconds since some moment. On one thread its processor time, which neighbours on the machine do not stretch.
class Clock {
 public:
  explicit Clock(const Device& device)
      : kind_(device.target().threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC) {}
  double now() const {
    timespec t;
    clock_gettime(kind_, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

 private:
  clockid_t kind_;
};

/// A kernel with operands of its own: small positive numbers in floats, zeros elsewhere.
class LoadedKernel {
 public:
  LoadedKernel(Device& device, const KernelSpec& spec) : device_(device), kernel_(device.compile(spec)) {
    for (const GraphInput& i : spec.body.inputs()) allocate(spec.body, i.value, true);
    for (const GraphOutput& o : spec.body.outputs()) allocate(spec.body, o.value, false);
    if (spec.scratch_bytes > 0) allocate(spec.scratch_bytes);
  }
  void launch() { device_.launch(*kernel_, arguments_, Lane::compute); }

 private:
  void allocate(std::int64_t bytes) {
    memory_.push_back(device_.allocate(std::max<std::int64_t>(bytes, 64), MemorySpace::host));
    arguments_.push_back(memory_.back()->data());
  }
  void allocate(const Graph& body, ValueId v, bool fill) {
    const DType type = body.type(v).dtype;
    const Layout layout = body.layout(v);
    allocate(layout.bytes(type));
    if (!fill || type != DType::f32) return;
    std::mt19937 engine(7);
    std::uniform_real_distribution<float> value(-1, 1);
    float* data = reinterpret_cast<float*>(arguments_.back());
    for (std::int64_t i = 0; i < layout.storage_elements(); ++i) data[i] = value(engine);
  }

  Device& device_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<std::unique_ptr<Allocation>> memory_;
  std::vector<std::byte*> arguments_;
};

/// Fastest of several runs, for about `budget` seconds.
template <class F>
double best_seconds(const Clock& clock, double budget, const F& run) {
  run();
  double best = std::numeric_limits<double>::max();
  const double begin = clock.now();
  do {
    const double start = clock.now();
    run();
    best = std::min(best, clock.now() - start);
  } while (clock.now() - begin < budget);
  return best;
}

struct Machine {
  double flops = 0, bandwidth = 0;
};

Machine measure(Device& device) {
  Machine machine;
  const Clock clock(device);
  constexpr std::int64_t kSide = 1536;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kSide, kSide}});
  const ValueId y = b.input("y", InputRole::feed, {DType::f32, Shape{kSide, kSide}});
  b.output("z", OutputRole::fetch, b.matmul(x, y));
  LoadedKernel product(device, device.oracle().ask(b.graph()).offer->spec);
  machine.flops = 2.0 * kSide * kSide * kSide / best_seconds(clock, 1.0, [&] { product.launch(); });

  constexpr std::int64_t kCount = std::int64_t{1} << 25;
  std::vector<std::unique_ptr<Allocation>> memory;
  float* v[3];
  for (float*& p : v) {
    memory.push_back(device.allocate(kCount * 4, MemorySpace::host));
    p = reinterpret_cast<float*>(memory.back()->data());
  }
  machine.bandwidth = 3.0 * 4 * kCount / best_seconds(clock, 1.0, [&] {
#pragma omp parallel for simd num_threads(device.target().threads)
                        for (std::int64_t i = 0; i < kCount; ++i) v[0][i] = v[1][i] + 3.0f * v[2][i];
                      });
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
  const Clock clock(device);
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
    const Clock clock(device_);
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
