// Prices.
#include "scheduler/cost_model.hpp"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

// What is assumed of a machine that nobody measured: a shared-memory or cluster network of a modest kind.
constexpr double kAssumedLatency = 20e-6;      // seconds a round
constexpr double kAssumedBandwidth = 5e9;      // bytes/s of one rank, sending and receiving
constexpr double kAssumedMemory = 8e9;         // bytes/s of one rank
constexpr double kEstimateFactor = 2.5;        // how far off an estimate may be, either way
constexpr double kInterpolationMargin = 0.25;  // kernels of a class differ: at least this, either way
constexpr double kOtherShapeMargin = 0.4;      // priced by another class's curve, or another rank count's

Price between(double seconds, double margin, PriceSource source) {
  return {seconds, seconds * std::max(0.1, 1 - margin), seconds * (1 + margin), source};
}

Price estimated(double seconds) {
  return {seconds, seconds / kEstimateFactor, seconds * kEstimateFactor, PriceSource::estimated};
}

double memory_seconds(double bytes, const Calibration& costs) {
  if (!costs.triad.empty()) return interpolate(costs.triad, bytes).seconds;
  return costs.memory_bandwidth > 0 ? bytes / costs.memory_bandwidth : 0;
}

double physics_bound(const KernelSpec& spec, const Calibration& costs) {
  double bound = costs.launch_seconds;
  if (costs.peak_flops > 0) bound = std::max(bound, spec.flops / costs.peak_flops);
  if (costs.peak_bandwidth > 0) bound = std::max(bound, spec.bytes / costs.peak_bandwidth);
  return bound;
}

int rounds(int ranks) { return std::max(1, static_cast<int>(std::ceil(std::log2(ranks)))); }

/// How many times `bytes` cross a rank's link: the lower bound of each algorithm.
double traffic(CollectiveKind kind, int ranks) {
  const double others = double(ranks - 1) / ranks;
  switch (kind) {
    case CollectiveKind::all_reduce: return 2 * others;
    case CollectiveKind::all_gather: return ranks - 1;
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_to_all: return others;
    case CollectiveKind::broadcast:
    case CollectiveKind::send:
    case CollectiveKind::receive: break;
  }
  return 1;
}

Price assumed_collective(CollectiveKind kind, double bytes, int ranks) {
  return estimated(kAssumedLatency * rounds(ranks) + bytes * traffic(kind, ranks) / kAssumedBandwidth);
}

}  // namespace

std::string rate_class(const KernelSpec& spec) {
  if (spec.body.inputs().empty()) return spec.implementation;
  return fmt::format("{} {}", spec.implementation, name_of(spec.body.type(spec.body.inputs().front().value).dtype));
}

double work_of(const KernelSpec& spec) { return spec.flops > 0 ? spec.flops : spec.bytes; }

CostPoint interpolate(const std::vector<CostPoint>& curve, double x) {
  if (curve.empty()) throw InternalError("interpolation on an empty cost curve");
  std::size_t above = 0;
  while (above < curve.size() && curve[above].x < x) ++above;
  if (above == 0) return {x, curve.front().seconds, curve.front().spread};
  const auto& a = curve[above - 1];
  if (above == curve.size()) return {x, a.x > 0 ? a.seconds * x / a.x : a.seconds, a.spread};
  const auto& b = curve[above];
  if (a.x <= 0 || a.seconds <= 0 || b.seconds <= 0) {
    const double t = (x - a.x) / (b.x - a.x);
    return {x, a.seconds + t * (b.seconds - a.seconds), t < 0.5 ? a.spread : b.spread};
  }
  const double t = std::log(x / a.x) / std::log(b.x / a.x);
  return {x, a.seconds * std::pow(b.seconds / a.seconds, t), t < 0.5 ? a.spread : b.spread};
}

std::vector<CostPoint> rate_curve(std::vector<CostPoint> samples) {
  std::erase_if(samples, [](const CostPoint& p) { return !(p.x > 0) || !(p.seconds > 0); });
  std::sort(samples.begin(), samples.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  std::vector<CostPoint> curve;
  for (std::size_t begin = 0; begin < samples.size();) {
    std::size_t end = begin;
    double log_x = 0, spread = 0;
    std::vector<double> rates;
    for (; end < samples.size() && samples[end].x < 2 * samples[begin].x; ++end) {
      log_x += std::log(samples[end].x);
      rates.push_back(samples[end].x / samples[end].seconds);
      spread = std::max(spread, samples[end].spread);
    }
    if (rates.empty()) break;  // never: the first sample is within its own octave
    std::sort(rates.begin(), rates.end());
    const double median = 0.5 * (rates[(rates.size() - 1) / 2] + rates[rates.size() / 2]);
    const double x = std::exp(log_x / double(end - begin));
    curve.push_back({x, x / median, std::max(spread, (rates.back() - rates.front()) / median)});
    begin = end;
  }
  return curve;
}

Price price_kernel(const KernelSpec& spec, double estimate, const Calibration* costs) {
  if (!costs) return estimated(estimate);
  if (const auto found = costs->kernels.find(spec.key()); found != costs->kernels.end())
    return between(found->second.seconds, found->second.spread / 2, PriceSource::exact);
  const double floor = std::max(physics_bound(spec, *costs), memory_seconds(spec.bytes, *costs));
  if (const auto curve = costs->rates.find(rate_class(spec)); curve != costs->rates.end() && !curve->second.empty()) {
    const auto point = interpolate(curve->second, work_of(spec));
    return between(std::max(point.seconds, floor), std::max(kInterpolationMargin, point.spread / 2),
                   PriceSource::interpolated);
  }
  // A class that was not measured: its work over the machine's rates.
  if (costs->peak_flops > 0 && costs->memory_bandwidth > 0)
    return between(costs->launch_seconds + floor, kOtherShapeMargin, PriceSource::interpolated);
  return estimated(std::max(estimate, floor));
}

Price price_copy(double bytes, const Calibration* costs) {
  if (!costs || (costs->triad.empty() && costs->memory_bandwidth <= 0)) return estimated(2 * bytes / kAssumedMemory);
  return between(std::max(costs->launch_seconds, memory_seconds(2 * bytes, *costs)), kInterpolationMargin,
                 PriceSource::interpolated);
}

Price price_collective(CollectiveKind kind, double bytes, int ranks, int nodes, const Calibration* costs) {
  if (ranks <= 1) return {0, 0, 0, PriceSource::exact};
  if (!costs) return assumed_collective(kind, bytes, ranks);
  const CollectiveCost* nearest = nullptr;
  for (const auto& cost : costs->collectives) {
    if (cost.points.empty() || cost.ranks < 2 || cost.nodes != nodes) continue;
    const auto off = [&](const CollectiveCost& c) {
      return (c.kind == kind ? 0.0 : 100.0) + std::abs(std::log2(double(c.ranks)) - std::log2(double(ranks)));
    };
    if (cost.kind != kind && cost.kind != CollectiveKind::all_reduce) continue;
    if (!nearest || off(cost) < off(*nearest)) nearest = &cost;
  }
  if (!nearest) return assumed_collective(kind, bytes, ranks);
  const auto point = interpolate(nearest->points, bytes);
  if (nearest->kind == kind && nearest->ranks == ranks)
    return between(point.seconds, point.spread / 2, PriceSource::exact);
  // Another rank count or kind: bytes scale with the traffic, short messages with the rounds.
  const double latency = nearest->points.front().seconds;
  const double wire = std::max(0.0, point.seconds - latency);
  const double seconds = latency * rounds(ranks) / rounds(nearest->ranks) +
                         wire * traffic(kind, ranks) / traffic(nearest->kind, nearest->ranks);
  return between(seconds, kOtherShapeMargin + point.spread / 2, PriceSource::interpolated);
}

}  // namespace weft
