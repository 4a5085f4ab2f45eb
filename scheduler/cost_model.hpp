// Cost model: what one kernel, copy or collective takes, from measured costs where there are any.
//
// In order of trust: the very kernel, measured; a rate interpolated on what was measured of its class; an estimate from
// the oracle's figure or from assumed constants. Each price says which, with an interval. A price that was not measured
// is never below physics: flops over the fastest contraction measured, bytes over the fastest memory measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/kernel.hpp"
#include "weft/site.hpp"

namespace weft {

enum class PriceSource : std::uint8_t { exact, interpolated, estimated };

struct Price {
  double seconds = 0, low = 0, high = 0;
  PriceSource source = PriceSource::estimated;
};

/// Which curve of Calibration::rates prices a kernel: its implementation and the type of its first operand,
/// "onednn.matmul f32".
std::string rate_class(const KernelSpec& spec);
/// The x of a kernel's cost: flops, or bytes where it has none.
double work_of(const KernelSpec& spec);

/// Seconds at `x` on an ascending curve: linear in log x and log seconds between points, constant rate beyond the
/// ends, but never below the smallest point's time. The spread is that of the nearer point. `curve` is not empty.
CostPoint interpolate(const std::vector<CostPoint>& curve, double x);

/// A curve from single measurements of one class: one point an octave of x, at the median rate, its spread that of the
/// rates within it.
std::vector<CostPoint> rate_curve(std::vector<CostPoint> samples);

/// `estimate` is the oracle's. `costs` may be null: then the estimate is the price.
Price price_kernel(const KernelSpec& spec, double estimate, const Calibration* costs);
/// Of memory read and written once.
Price price_copy(double bytes, const Calibration* costs);
/// `bytes` from each of `ranks` ranks on `nodes` nodes; nothing for one rank.
Price price_collective(CollectiveKind kind, double bytes, int ranks, int nodes, const Calibration* costs);

}  // namespace weft
