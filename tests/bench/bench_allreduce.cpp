// All-reduce by size, ours against MPI's own, and what communication takes from computation.
//
//     mpirun -n 2 bench_allreduce [--quick | --sizes]
//
// JSON on standard output, from rank 0. Times are medians in microseconds, of calls that alternate in one run, with
// the quartiles on both sides as their spread:
//   ours            start_all_reduce by a caller that waits, then wait
//   ours_started    the same by a caller that may go on: its communication thread is woken
//   mpi             MPI_Allreduce
//   mpi_started     MPI_Iallreduce, then MPI_Test without pause
// --sizes leaves out:
// overlap: a computation alone; with an all-reduce of 25 MB in flight that started just before it; with one in flight
// that cannot finish, for a peer comes late (the price of polling); and the all-reduce alone.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <vector>

#include "comm/mpi/mpi_runtime.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double micros_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

double quantile(std::vector<double> values, double q) {
  const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

nlohmann::ordered_json quartiles(const std::vector<double>& values) {
  return {quantile(values, 0.25), quantile(values, 0.75)};
}

class Bench {
 public:
  Bench(Communicator& comm, bool quick) : comm_(comm), quick_(quick), from_(kMost, 1.0f), to_(kMost) {}

  nlohmann::ordered_json by_size() {
    nlohmann::ordered_json rows;
    for (std::int64_t bytes = 1 << 10; bytes <= static_cast<std::int64_t>(kMost) * 4; bytes *= 4) {
      const std::int64_t count = bytes / 4;
      const int repeats = std::max<int>(quick_ ? 3 : 15, static_cast<int>((quick_ ? 1 << 22 : 1 << 26) / bytes / 8));
      std::vector<double> ours, ours_started, mpi, started;
      for (int k = 0; k < std::min(repeats, 300); ++k) {
        MPI_Barrier(MPI_COMM_WORLD);
        mpi.push_back(micros_of([&] {
          MPI_Allreduce(from_.data(), to_.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        }));
        MPI_Barrier(MPI_COMM_WORLD);
        started.push_back(micros_of([&] {
          MPI_Request request;
          MPI_Iallreduce(from_.data(), to_.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD,
                         &request);
          for (int done = 0; !done;) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        }));
        MPI_Barrier(MPI_COMM_WORLD);
        ours.push_back(micros_of([&] { start(count, true)->wait(); }));
        MPI_Barrier(MPI_COMM_WORLD);
        ours_started.push_back(micros_of([&] { start(count)->wait(); }));
      }
      rows.push_back({{"bytes", bytes},
                      {"ours", median(ours)},
                      {"ours_started", median(ours_started)},
                      {"mpi", median(mpi)},
                      {"mpi_started", median(started)},
                      {"ours_spread", quartiles(ours)},
                      {"mpi_spread", quartiles(mpi)}});
    }
    return rows;
  }

  nlohmann::ordered_json overlap() {
    constexpr std::int64_t kCount = 25 << 18;
    std::vector<double> alone, busy, polled, reduce;
    for (int k = 0; k < (quick_ ? 3 : 15); ++k) {
      barrier(comm_, "bench");
      alone.push_back(micros_of([&] { compute(); }));
      barrier(comm_, "bench");
      reduce.push_back(micros_of([&] { start(kCount)->wait(); }));
      barrier(comm_, "bench");
      busy.push_back(micros_of([&] {
        auto request = start(kCount);
        compute();
        request->wait();
      }));
      barrier(comm_, "bench");
      // Even ranks compute with a request that waits for the odd ones, which start theirs 60 ms later.
      if (comm_.rank() % 2 == 0) {
        auto request = start(1000);
        polled.push_back(micros_of([&] { compute(); }));
        request->wait();
      } else {
        compute();
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        start(1000)->wait();
      }
    }
    nlohmann::ordered_json result{
        {"compute", median(alone)}, {"all_reduce_25MB", median(reduce)}, {"both", median(busy)}};
    if (!polled.empty()) result["compute_while_polling"] = median(polled);
    return result;
  }

 private:
  std::unique_ptr<Request> start(std::int64_t count, bool waits = false) {
    OperationLabel label{"bench", 0, 0};
    label.waits = waits;
    return comm_.start_all_reduce(reinterpret_cast<const std::byte*>(from_.data()),
                                  reinterpret_cast<std::byte*>(to_.data()), count, DType::f32, ReduceKind::sum,
                                  std::move(label));
  }
  // Some tens of milliseconds of arithmetic that stays in registers.
  void compute() {
    float x = sink_;
    for (int i = 0; i < 10'000'000; ++i) x = x * 0.75f + 0.3f;
    sink_ = x;
  }

  static constexpr std::size_t kMost = 64 << 20;
  Communicator& comm_;
  bool quick_;
  std::vector<float> from_, to_;
  volatile float sink_ = 0.5f;
};

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  try {
    weft::MpiRuntime runtime(weft::detect_launch());
    const auto world = runtime.world();
    weft::Bench bench(*world, argc > 1 && std::string_view(argv[1]) == "--quick");
    nlohmann::ordered_json result{{"bench", "all_reduce"}, {"ranks", world->size()}, {"mpi", runtime.library()}};
    result["microseconds"] = bench.by_size();
    if (!(argc > 1 && std::string_view(argv[1]) == "--sizes")) result["overlap"] = bench.overlap();
    if (world->rank() == 0) fmt::print("{}\n", result.dump(1));
    return 0;
  } catch (const weft::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
