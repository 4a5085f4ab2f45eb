// Timing collectives, alone and beside computation.
#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "scheduler/calibrate.hpp"
#include "scheduler/measure.hpp"
#include "scheduler/sample_kernels.hpp"

namespace weft {
namespace {

void all_reduce(Communicator& comm, Allocation& memory, std::int64_t bytes) {
  comm.start_all_reduce(memory.data(), memory.data(), bytes / 4, DType::f32, ReduceKind::sum,
                        {fmt::format("calibration of all-reduce, {} bytes", bytes), 0, 0})
      ->wait();
}

/// As many repetitions on every rank: rank 0 decides from one timed call.
int repetitions(Communicator& comm, double seconds, double budget) {
  const std::vector<double> mine{std::clamp(budget / std::max(seconds, 1e-7), 5.0, 500.0)};
  return static_cast<int>(std::lround(mean_over_ranks(comm, mine).front()));
}

CostPoint time_all_reduce(Communicator& comm, Allocation& memory, std::int64_t bytes, double budget) {
  all_reduce(comm, memory, bytes);
  const auto start = MeasureClock::now();
  all_reduce(comm, memory, bytes);
  const int count = repetitions(comm, seconds_since(start), budget);
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    barrier(comm, "calibration");
    const auto begin = MeasureClock::now();
    all_reduce(comm, memory, bytes);
    times.push_back(seconds_since(begin));
  }
  return summary(static_cast<double>(bytes), mean_over_ranks(comm, times));
}

/// Compute time lost to a collective in flight, per second of it.
double overlap_cost(Device& device, Communicator& comm, Allocation& memory, std::int64_t bytes, double collective) {
  const auto body = square_matmul(256).body;
  const auto answer = device.oracle().ask(body);
  if (!answer.offer) return 0;
  const auto kernel = device.compile(answer.offer->spec);
  const KernelArguments arguments(device, answer.offer->spec);
  const auto compute = [&](int launches) {
    for (int i = 0; i < launches; ++i) device.launch(*kernel, arguments.span(), Lane::compute);
    device.synchronize(Lane::compute);
  };
  compute(2);
  const auto probe = MeasureClock::now();
  compute(8);
  // Twice as long as the collective, so that it is over when the computation is; the same on all ranks.
  const double one = mean_over_ranks(comm, {seconds_since(probe) / 8}).front();
  const int launches = static_cast<int>(std::clamp(2 * collective / std::max(one, 1e-7), 4.0, 5000.0));
  std::vector<double> alone, both;
  for (int turn = 0; turn < 7; ++turn) {
    barrier(comm, "calibration");
    auto begin = MeasureClock::now();
    compute(launches);
    alone.push_back(seconds_since(begin));
    barrier(comm, "calibration");
    begin = MeasureClock::now();
    auto request = comm.start_all_reduce(memory.data(), memory.data(), bytes / 4, DType::f32, ReduceKind::sum,
                                         {"calibration of overlap", 0, 0});
    compute(launches);
    request->wait();
    both.push_back(seconds_since(begin));
  }
  const double lost =
      summary(0, mean_over_ranks(comm, both)).seconds - summary(0, mean_over_ranks(comm, alone)).seconds;
  return collective > 0 ? std::clamp(lost / collective, 0.0, 1.0) : 0;
}

}  // namespace

void calibrate_collectives(Device& device, Communicator& comm, const CalibrateOptions& options, Calibration& costs) {
  std::string reason;
  const auto space = device.arena_space();
  if (comm.size() < 2 || !comm.accepts(CollectiveKind::all_reduce, space, DType::f32, &reason)) return;
  options.progress(fmt::format("all-reduce over {} ranks", comm.size()));
  const auto memory = device.allocate(options.largest_message, space);
  CollectiveCost cost{CollectiveKind::all_reduce, comm.size(), 1, {}};
  for (std::int64_t bytes = 8; bytes <= options.largest_message; bytes *= options.quick ? 8 : 4)
    cost.points.push_back(time_all_reduce(comm, *memory, bytes, options.seconds_a_sample * 2));
  constexpr std::int64_t kBucket = 4 << 20;  // what gradients travel in
  if (options.largest_message >= kBucket) {
    const auto point = time_all_reduce(comm, *memory, kBucket, options.seconds_a_sample * 2);
    costs.overlap_cost = overlap_cost(device, comm, *memory, kBucket, point.seconds);
  }
  costs.collectives.push_back(std::move(cost));
}

}  // namespace weft
