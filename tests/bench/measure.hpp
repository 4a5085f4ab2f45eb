// What benchmarks measure with: a clock, the fastest of several runs, the machine's peaks, kernels with operands of
// their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ctime>

#include "weft/device.hpp"

namespace weft::bench {

/// Seconds since some moment. On one thread its processor time, which neighbours on the machine do not stretch.
class Clock {
 public:
  explicit Clock(int threads) : kind_(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC) {}
  double now() const;

 private:
  clockid_t kind_;
};

/// The middle one, of two the larger.
double median(std::vector<double> values);

/// Fastest of several runs, for about `budget` seconds, after one that is not timed.
double best_seconds(const Clock& clock, double budget, const std::function<void()>& run);

/// A kernel with operands of its own: small positive numbers in f32, zeros elsewhere.
class LoadedKernel {
 public:
  LoadedKernel(Device& device, const KernelSpec& spec);
  void launch() { device_.launch(*kernel_, arguments_, Lane::compute); }

 private:
  void allocate(std::int64_t bytes);
  void allocate(const Graph& body, ValueId v, bool fill);

  Device& device_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<std::unique_ptr<Allocation>> memory_;
  std::vector<std::byte*> arguments_;
};

/// The triad a = b + 3 c over arrays that no cache holds.
class Triad {
 public:
  explicit Triad(Device& device);
  void run();
  static double bytes();  ///< read and written by one run, as STREAM counts them

 private:
  int threads_;
  std::vector<std::unique_ptr<Allocation>> memory_;
  float* arrays_[3] = {};
};

/// A product of two square matrices that caches feed well.
class SquareProduct {
 public:
  SquareProduct(Device& device, DType type);
  void run() { kernel_->launch(); }
  static double flops();

 private:
  std::unique_ptr<LoadedKernel> kernel_;
};

}  // namespace weft::bench
