// Timing kernels: samples for rates, and the kernels of Programs.
#include <algorithm>
#include <map>

#include "scheduler/calibrate.hpp"
#include "scheduler/cost_model.hpp"
#include "scheduler/measure.hpp"
#include "scheduler/sample_kernels.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

struct Timed {
  KernelSpec spec;
  CostPoint point;
};

/// Medians of this rank, then means over ranks; those that the device does not take are left out (on all ranks alike,
/// for they have equal devices).
std::vector<Timed> time_samples(Device& device, Communicator& comm, const std::vector<SampleKernel>& samples,
                                const CalibrateOptions& options) {
  std::vector<Timed> timed;
  std::vector<double> medians, spreads;
  for (const auto& sample : samples) {
    auto answer = device.oracle().ask(sample.body);
    if (!answer.offer) continue;
    const auto kernel = device.compile(answer.offer->spec);
    const KernelArguments arguments(device, answer.offer->spec);
    barrier(comm, "calibration of " + sample.name);
    const auto times = repeat(
        [&] {
          device.launch(*kernel, arguments.span(), Lane::compute);
          device.synchronize(Lane::compute);
        },
        options.seconds_a_sample, 5);
    const auto point = summary(work_of(answer.offer->spec), times);
    medians.push_back(point.seconds);
    spreads.push_back(point.spread);
    timed.push_back({std::move(answer.offer->spec), point});
  }
  medians = mean_over_ranks(comm, medians);
  spreads = mean_over_ranks(comm, spreads);
  for (std::size_t i = 0; i < timed.size(); ++i) timed[i].point = {timed[i].point.x, medians[i], spreads[i]};
  return timed;
}

std::vector<SampleKernel> triads(bool quick) {
  std::vector<SampleKernel> kernels;
  for (double bytes = 12 << 10; bytes <= (quick ? 100e6 : 200e6); bytes *= quick ? 8 : 4)
    kernels.push_back(triad(bytes));
  return kernels;
}

/// Operand memory of a Program: the arena, and one allocation for each other buffer.
class ProgramMemory {
 public:
  ProgramMemory(Device& device, const Program& program) : program_(&program) {
    for (int s = 0; s < 3; ++s)
      if (program.arena_bytes[s] > 0) arenas_[s] = device.allocate(program.arena_bytes[s], static_cast<MemorySpace>(s));
    for (const auto& buffer : program.buffers) {
      others_.push_back(nullptr);
      if (buffer.kind == BufferKind::arena) continue;
      const auto space = device.arena_space();
      others_.back() = device.allocate(std::max<std::int64_t>(buffer.bytes, 64), space);
      if (buffer.kind == BufferKind::constant && buffer.literal) {
        const auto bytes = static_cast<std::int64_t>(buffer.literal->bytes());
        device.copy(others_.back()->data(), space, buffer.literal->data(), MemorySpace::host, bytes, Lane::compute);
      } else {
        fill_harmless(device, others_.back()->data(), space, buffer.bytes, buffer.dtype);
      }
    }
    device.synchronize(Lane::compute);
  }

  std::byte* address(const View& view) const {
    const auto& buffer = program_->buffers.at(static_cast<std::size_t>(view.buffer));
    if (buffer.kind != BufferKind::arena) return others_[static_cast<std::size_t>(view.buffer)]->data() + view.offset;
    return arenas_[static_cast<int>(buffer.space)]->data() + buffer.offset + view.offset;
  }

 private:
  const Program* program_;
  std::unique_ptr<Allocation> arenas_[3];
  std::vector<std::unique_ptr<Allocation>> others_;
};

using TimesByKey = std::map<std::string, std::pair<double, std::vector<double>>>;  // key -> (x, seconds)

void time_program(Device& device, Communicator& comm, const Program& program, const CalibrateOptions& options,
                  TimesByKey& times) {
  const ProgramMemory memory(device, program);
  struct Bound {
    std::shared_ptr<Kernel> kernel;
    std::vector<std::byte*> arguments;
    std::pair<double, std::vector<double>>* times = nullptr;
  };
  std::map<int, std::shared_ptr<Kernel>> compiled;
  std::vector<Bound> launches;
  for (const auto& i : program.instructions) {
    if (i.kind != InstructionKind::kernel) continue;
    const auto& spec = program.kernels.at(static_cast<std::size_t>(i.kernel));
    auto& kernel = compiled[i.kernel];
    if (!kernel) kernel = device.compile(spec);
    auto& slot = times[spec.key()];
    slot.first = work_of(spec);
    Bound bound{kernel, {}, &slot};
    for (const auto* views : {&i.reads, &i.writes})
      for (const auto& view : *views) bound.arguments.push_back(memory.address(view));
    if (i.scratch.buffer >= 0) bound.arguments.push_back(memory.address(i.scratch));
    launches.push_back(std::move(bound));
  }
  barrier(comm, "calibration of " + program.role);
  const double budget = options.quick ? 0.5 : 1.5;
  const auto begin = MeasureClock::now();
  for (int turn = 0; turn < 4 || (turn < 200 && seconds_since(begin) < budget); ++turn) {
    for (auto& launch : launches) {
      const auto start = MeasureClock::now();
      device.launch(*launch.kernel, launch.arguments, Lane::compute);
      device.synchronize(Lane::compute);
      if (turn > 0) launch.times->second.push_back(seconds_since(start));  // the first turn warms up
    }
  }
}

void calibrate_rates(Device& device, Communicator& comm, const CalibrateOptions& options, Calibration& costs) {
  options.progress("launch and memory");
  const auto empty = time_samples(device, comm, {empty_kernel()}, options);
  if (!empty.empty()) costs.launch_seconds = empty.front().point.seconds;
  for (const auto& timed : time_samples(device, comm, triads(options.quick), options)) {
    costs.triad.push_back({timed.spec.bytes, timed.point.seconds, timed.point.spread});
    costs.peak_bandwidth = std::max(costs.peak_bandwidth, timed.spec.bytes / timed.point.seconds);
  }
  if (!costs.triad.empty()) costs.memory_bandwidth = costs.triad.back().x / costs.triad.back().seconds;

  options.progress("matrix products, convolutions, reductions, elementwise kernels");
  std::map<std::string, std::vector<CostPoint>> samples;
  for (const auto& timed : time_samples(device, comm, sample_kernels(options.quick), options)) {
    costs.kernels[timed.spec.key()] = timed.point;
    samples[rate_class(timed.spec)].push_back(timed.point);
    if (timed.spec.flops > 0)
      costs.peak_flops = std::max(costs.peak_flops, timed.spec.flops / timed.point.seconds);
    else
      costs.peak_bandwidth = std::max(costs.peak_bandwidth, timed.spec.bytes / timed.point.seconds);
  }
  for (auto& [name, points] : samples) costs.rates[name] = rate_curve(std::move(points));
}

}  // namespace

Calibration calibrate(Device& device, Communicator& comm, const CalibrateOptions& options) {
  Calibration costs;
  costs.target = device.target().str();
  costs.ranks = comm.size();
  costs.threads = device.target().threads;
  calibrate_rates(device, comm, options, costs);
  calibrate_collectives(device, comm, options, costs);
  return costs;
}

void calibrate_programs(Device& device, Communicator& comm, std::span<const Program> programs,
                        const CalibrateOptions& options, Calibration& costs) {
  for (const auto& program : programs) {
    options.progress("the kernels of '" + program.role + "'");
    TimesByKey times;
    time_program(device, comm, program, options, times);
    std::vector<double> medians, spreads;
    for (const auto& [key, entry] : times) {
      const auto point = summary(entry.first, entry.second);
      medians.push_back(point.seconds);
      spreads.push_back(point.spread);
    }
    medians = mean_over_ranks(comm, medians);
    spreads = mean_over_ranks(comm, spreads);
    std::size_t at = 0;
    for (const auto& [key, entry] : times) {
      costs.kernels[key] = {entry.first, medians[at], spreads[at]};
      ++at;
    }
  }
}

}  // namespace weft
