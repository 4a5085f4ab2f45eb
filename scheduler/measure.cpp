// Measuring helpers.
#include "scheduler/measure.hpp"

#include <algorithm>
#include <cstring>

#include "weft/error.hpp"

namespace weft {
namespace {

double percentile(const std::vector<double>& sorted, double p) {
  const double at = p * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

template <class T>
void fill(std::vector<std::byte>& bytes, T (*make)(double)) {
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    // A short cycle is enough: kernels do not look at values, but denormals and NaNs would slow some down.
    const T value = make(0.5 + 0.5 * static_cast<double>((i / sizeof(T)) % 251) / 251);
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

// The upper half of an f32 is its bf16; an f16 has 5 exponent bits around 15 and 10 of mantissa.
std::uint16_t bf16_bits(double value) {
  const auto f = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &f, sizeof bits);
  return static_cast<std::uint16_t>(bits >> 16);
}
std::uint16_t f16_bits(double value) {  // from 0.5 up to 1: exponent -1
  return static_cast<std::uint16_t>((14U << 10) | static_cast<std::uint16_t>(std::min(1023.0, (value - 0.5) * 2048)));
}

}  // namespace

CostPoint summary(double x, std::vector<double> times) {
  check_internal(!times.empty(), "summary of no measurements");
  std::sort(times.begin(), times.end());
  const double median = percentile(times, 0.5);
  return {x, median, median > 0 ? (percentile(times, 0.9) - percentile(times, 0.1)) / median : 0};
}

std::vector<double> repeat(const std::function<void()>& call, double budget, int fewest) {
  call();
  std::vector<double> times;
  const auto begin = MeasureClock::now();
  // Long ones vary little, and would take for ever: three are enough once a second has passed.
  const auto enough = [&] { return seconds_since(begin) > 1 ? std::min(fewest, 3) : fewest; };
  while (static_cast<int>(times.size()) < enough() || (seconds_since(begin) < budget && times.size() < 10'000)) {
    const auto start = MeasureClock::now();
    call();
    times.push_back(seconds_since(start));
  }
  return times;
}

std::vector<double> mean_over_ranks(Communicator& comm, const std::vector<double>& mine) {
  const auto all = gather_bytes(comm, std::as_bytes(std::span(mine)), "calibration times");
  std::vector<double> mean(mine.size(), 0.0);
  for (const auto& bytes : all) {
    check_internal(bytes.size() == mine.size() * sizeof(double), "ranks measured different numbers of things");
    for (std::size_t i = 0; i < mean.size(); ++i) {
      double value = 0;
      std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
      mean[i] += value / static_cast<double>(all.size());
    }
  }
  return mean;
}

void fill_harmless(Device& device, std::byte* to, MemorySpace space, std::int64_t bytes, DType type) {
  std::vector<std::byte> values(static_cast<std::size_t>(bytes));
  if (type == DType::f32) fill<float>(values, [](double v) { return static_cast<float>(v); });
  if (type == DType::f64) fill<double>(values, [](double v) { return v; });
  if (type == DType::bf16) fill<std::uint16_t>(values, bf16_bits);
  if (type == DType::f16) fill<std::uint16_t>(values, f16_bits);
  device.copy(to, space, values.data(), MemorySpace::host, bytes, Lane::compute);
  device.synchronize(Lane::compute);
}

KernelArguments::KernelArguments(Device& device, const KernelSpec& spec) {
  const auto space = device.arena_space();
  const auto add = [&](std::int64_t bytes) {
    memory_.push_back(device.allocate(std::max<std::int64_t>(bytes, 64), space));
    arguments_.push_back(memory_.back()->data());
  };
  for (const auto& input : spec.body.inputs()) {
    const auto type = spec.body.type(input.value).dtype;
    const auto bytes = spec.body.layout(input.value).bytes(type);
    add(bytes);
    fill_harmless(device, arguments_.back(), space, bytes, type);
  }
  for (const auto& output : spec.body.outputs())
    add(spec.body.layout(output.value).bytes(spec.body.type(output.value).dtype));
  if (spec.scratch_bytes > 0) add(spec.scratch_bytes);
}

}  // namespace weft
