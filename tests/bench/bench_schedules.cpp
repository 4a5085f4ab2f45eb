// What tuned schedules are worth in whole training steps: a job's step with the default schedules and with tuned ones,
// in turns.
//
//     bench_schedules JOB.yaml [--rounds N] [--tune SECONDS] [--set KEY=VALUE]...
//
// JSON on standard output: medians in ms of the steps and of all generated kernels in them, and the kernels that got
// another schedule, with what tuning measured alone and what the step shows. WEFT_CACHE names the cache to tune into;
// an empty one shows what a first start pays.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "src/cli/waiting_threads.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "tests/bench/measure.hpp"
#include "tests/bench/training_step.hpp"
#include "weft/error.hpp"

namespace weft::bench {
namespace {

using Steady = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Steady::time_point began) { return std::chrono::duration<double>(Steady::now() - began).count(); }

class Times final : public ExecutionObserver {
 public:
  explicit Times(std::size_t instructions) : seconds(instructions) {}
  void begin(const Program&, int) override { began_ = Steady::now(); }
  bool end(const Program&, int instruction) override {
    seconds[static_cast<std::size_t>(instruction)].push_back(seconds_since(began_));
    return true;
  }
  std::vector<std::vector<double>> seconds;

 private:
  Steady::time_point began_;
};

/// A step on a device of its own, with its times.
struct Side {
  Side(const JobSpec& job, double tune_seconds)
      : device(make_device(job.device, {1, job.threads}, job.deterministic, job.math == "fast")) {
    const auto began = Steady::now();
    step = std::make_unique<TrainingStep>(job, *device, tune_seconds);
    ready_seconds = seconds_since(began);
    times = std::make_unique<Times>(program().instructions.size());
    step->run();
  }

  const Program& program() const { return step->lowered().program; }

  void run() {
    const auto began = Steady::now();
    step->run(times.get());
    steps.push_back(seconds_since(began));
  }

  /// Median ms by kernel of all its launches in a step.
  std::map<std::string, double> by_kernel() const {
    std::map<std::string, double> result;
    for (std::size_t i = 0; i < program().instructions.size(); ++i)
      if (const int kernel = program().instructions[i].kernel; kernel >= 0)
        if (const KernelSpec& spec = program().kernels[static_cast<std::size_t>(kernel)];
            spec.implementation == "generated")
          result[spec.key()] += 1e3 * median(times->seconds[i]);
    return result;
  }

  std::unique_ptr<Device> device;
  std::unique_ptr<TrainingStep> step;
  std::unique_ptr<Times> times;
  std::vector<double> steps;
  double ready_seconds = 0;
};

Json summary(const Side& side) {
  double generated = 0;
  for (const auto& [key, ms] : side.by_kernel()) generated += ms;
  return {{"step_ms", 1e3 * median(side.steps)}, {"generated_ms", generated}, {"ready_s", side.ready_seconds}};
}

int run(int argc, char** argv) {
  int rounds = 10;
  double seconds = 10;
  std::string file;
  std::vector<std::string> overrides;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (!option.starts_with("--"))
      file = option;
    else if (i + 1 == argc)
      throw UserError(fmt::format("bench_schedules: {} wants a value", option));
    else if (option == "--rounds")
      rounds = std::max(1, std::atoi(argv[++i]));
    else if (option == "--tune")
      seconds = std::atof(argv[++i]);
    else if (option == "--set")
      overrides.emplace_back(argv[++i]);
    else
      throw UserError("bench_schedules JOB.yaml [--rounds N] [--tune SECONDS] [--set KEY=VALUE]...");
  }
  if (file.empty()) throw UserError("bench_schedules: which job?");
  cli::choose_how_threads_wait(argv);
  const JobSpec job = read_job(file, overrides);
  Side plain(job, 0), tuned(job, seconds);
  for (int round = 0; round < rounds; ++round)
    for (Side* side : {&plain, &tuned}) side->run();
  const auto before = plain.by_kernel(), after = tuned.by_kernel();
  Json report{{"default", summary(plain)}, {"tuned", summary(tuned)}, {"kernels", Json::array()}};
  report["compared"] = tuned.step->tuned().size();
  for (const TunedKernel& t : tuned.step->tuned())
    if (t.schedule != "default")
      report["kernels"].push_back({{"schedule", t.schedule},
                                   {"alone", t.speedup},
                                   {"default_ms", before.at(t.key)},
                                   {"tuned_ms", after.at(t.key)}});
  fmt::print("{}\n", report.dump(2));
  return 0;
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  try {
    return weft::bench::run(argc, argv);
  } catch (const weft::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
