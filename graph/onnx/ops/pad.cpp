// Pad in all its modes.
#include <fmt/format.h>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

struct Pads {
  Dims low, high;
};

Pads pads_of(OpContext& c) {
  const int rank = c.rank(0);
  const Dims pads = c.version() >= 11  ? c.constant_dims(1, "the pads")
                    : c.version() >= 2 ? c.integers("pads")
                                       : c.integers("paddings");
  Dims axes;
  if (c.version() >= 18 && c.has(3)) {
    axes = c.constant_dims(3, "the axes");
  } else {
    for (int d = 0; d < rank; ++d) axes.push_back(d);
  }
  if (pads.size() != 2 * axes.size())
    OpContext::unsupported(fmt::format("{} pads for {} axes; two are needed for each", pads.size(), axes.size()));
  Pads result{Dims(static_cast<std::size_t>(rank), 0), Dims(static_cast<std::size_t>(rank), 0)};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<std::size_t>(normalize_axis(axes[i], rank));
    result.low[d] = pads[i], result.high[d] = pads[i + axes.size()];
  }
  return result;
}

/// Which element of an axis position `i` (possibly outside) shows.
std::int64_t source_index(std::int64_t i, std::int64_t extent, const std::string& mode) {
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, extent - 1);
  if (mode == "wrap") return (i % extent + extent) % extent;
  if (extent == 1) return 0;
  const std::int64_t period = 2 * (extent - 1);
  const std::int64_t phase = (i % period + period) % period;
  return phase < extent ? phase : period - phase;
}

ValueId pad_axis(OpContext& c, ValueId x, int axis, std::int64_t low, std::int64_t high, const std::string& mode) {
  const std::int64_t extent = c.b.shape(x)[axis];
  if (extent == 0) OpContext::unsupported("mode " + mode + " cannot pad an empty dimension");
  const Shape grown = c.b.shape(x).with(axis, extent + low + high);  // throws when too large or negative
  if (grown[axis] > (std::int64_t{1} << 26)) OpContext::unsupported("the padded extent is above 2^26");
  std::vector<std::int64_t> indices;
  for (std::int64_t i = -low; i < extent + high; ++i) indices.push_back(source_index(i, extent, mode));
  const ValueId index = c.b.constant(Tensor::from<std::int64_t>(Shape{grown[axis]}, indices));
  return c.b.one(Op::gather, {x, index}, {{"axis", std::int64_t{axis}}});
}

Values import_pad(OpContext& c) {
  const Pads pads = pads_of(c);
  const std::string mode = c.text("mode", "constant");
  ValueId x = c.in(0);
  const auto rank = static_cast<std::size_t>(c.rank(0));
  constexpr std::int64_t kLimit = std::int64_t{1} << 40;
  for (std::size_t d = 0; d < rank; ++d)
    if (pads.low[d] > kLimit || pads.low[d] < -kLimit || pads.high[d] > kLimit || pads.high[d] < -kLimit)
      OpContext::unsupported("a pad is above 2^40");
  if (mode == "constant") {
    ValueId value;
    if (c.version() >= 11)
      value = c.has(2) ? c.b.reshape(c.in(2), Shape{}) : c.b.full(c.dtype(0), Shape{}, 0);
    else
      value = c.b.full(c.dtype(0), Shape{}, c.number("value", 0));
    return {c.b.pad(x, value, pads.low, pads.high, Dims(rank, 0))};
  }
  if (mode != "edge" && mode != "reflect" && mode != "wrap") OpContext::unsupported("unknown mode '" + mode + "'");
  for (std::size_t d = 0; d < rank; ++d)
    if (pads.low[d] != 0 || pads.high[d] != 0) x = pad_axis(c, x, static_cast<int>(d), pads.low[d], pads.high[d], mode);
  return {x};
}

/// Cut, or filled with zeros, evenly on both sides; an odd one goes behind.
Values import_center_crop_pad(OpContext& c) {
  const Dims target = c.constant_dims(1, "the shape");
  Dims axes = c.integers("axes");
  if (axes.empty())
    for (int d = 0; d < c.rank(0); ++d) axes.push_back(d);
  if (axes.size() != target.size()) OpContext::unsupported("axes and shape have different lengths");
  const auto rank = static_cast<std::size_t>(c.rank(0));
  Dims low(rank, 0), high(rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis(axes[i], c.rank(0));
    if (target[i] < 0) OpContext::unsupported(fmt::format("the shape has an extent of {}", target[i]));
    const std::int64_t missing = target[i] - c.shape(0)[axis], before = missing / 2;
    low[static_cast<std::size_t>(axis)] = before, high[static_cast<std::size_t>(axis)] = missing - before;
  }
  return {c.b.pad(c.in(0), c.b.full(c.dtype(0), Shape{}, 0), low, high, Dims(rank, 0))};
}

constexpr OpRow kPadRows[] = {{"Pad", import_pad}, {"CenterCropPad", import_center_crop_pad, 18}};

}  // namespace

std::span<const OpRow> pad_rows() { return kPadRows; }

}  // namespace weft::onnx
