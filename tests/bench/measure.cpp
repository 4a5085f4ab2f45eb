// Clocks and peaks.
#include "tests/bench/measure.hpp"

#include <algorithm>
#include <limits>
#include <random>

#include "graph/ir/builder.hpp"
#include "weft/error.hpp"

namespace weft::bench {
namespace {

constexpr std::int64_t kSide = 1536;
constexpr std::int64_t kTriadElements = std::int64_t{1} << 25;

}  // namespace

double Clock::now() const {
  timespec t;
  clock_gettime(kind_, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double best_seconds(const Clock& clock, double budget, const std::function<void()>& run) {
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

LoadedKernel::LoadedKernel(Device& device, const KernelSpec& spec) : device_(device), kernel_(device.compile(spec)) {
  for (const GraphInput& i : spec.body.inputs()) allocate(spec.body, i.value, true);
  for (const GraphOutput& o : spec.body.outputs()) allocate(spec.body, o.value, false);
  if (spec.scratch_bytes > 0) allocate(spec.scratch_bytes);
}

void LoadedKernel::allocate(std::int64_t bytes) {
  memory_.push_back(device_.allocate(std::max<std::int64_t>(bytes, 64), MemorySpace::host));
  arguments_.push_back(memory_.back()->data());
}

void LoadedKernel::allocate(const Graph& body, ValueId v, bool fill) {
  const DType type = body.type(v).dtype;
  const Layout layout = body.layout(v);
  allocate(layout.bytes(type));
  if (!fill || type != DType::f32) return;
  std::mt19937 engine(7);
  std::uniform_real_distribution<float> value(-1, 1);
  float* data = reinterpret_cast<float*>(arguments_.back());
  for (std::int64_t i = 0; i < layout.storage_elements(); ++i) data[i] = value(engine);
}

Triad::Triad(Device& device) : threads_(device.target().threads) {
  for (float*& p : arrays_) {
    memory_.push_back(device.allocate(kTriadElements * 4, MemorySpace::host));
    p = reinterpret_cast<float*>(memory_.back()->data());
  }
}

void Triad::run() {
  float *a = arrays_[0], *b = arrays_[1], *c = arrays_[2];
#pragma omp parallel for simd num_threads(threads_)
  for (std::int64_t i = 0; i < kTriadElements; ++i) a[i] = b[i] + 3.0f * c[i];
}

double Triad::bytes() { return 3.0 * 4 * kTriadElements; }

SquareProduct::SquareProduct(Device& device, DType type) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {type, Shape{kSide, kSide}});
  const ValueId y = b.input("y", InputRole::feed, {type, Shape{kSide, kSide}});
  b.output("z", OutputRole::fetch, b.matmul(x, y));
  const KernelAnswer answer = device.oracle().ask(b.graph());
  check_internal(answer.offer.has_value(), "no matrix product of this type");
  kernel_ = std::make_unique<LoadedKernel>(device, answer.offer->spec);
}

double SquareProduct::flops() { return 2.0 * kSide * kSide * kSide; }

}  // namespace weft::bench
