// Reading window attributes.
#include "graph/onnx/ops/window.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft::onnx {
namespace {

// Far above any real model; keeps the arithmetic below from overflowing.
constexpr std::int64_t kLimit = std::int64_t{1} << 31;

void check(const Dims& dims, std::size_t count, std::int64_t lowest, const char* name) {
  if (dims.size() != count)
    OpContext::unsupported(fmt::format("{} has {} entries; {} are needed", name, dims.size(), count));
  for (const std::int64_t d : dims)
    if (d < lowest || d > kLimit) OpContext::unsupported(fmt::format("{} {} is out of range", name, to_string(dims)));
}

}  // namespace

Window plain_window(OpContext& c, const Dims& kernel) {
  const std::size_t count = kernel.size();
  Window w;
  w.kernel = kernel;
  w.strides = c.integers("strides", Dims(count, 1));
  w.dilations = c.integers("dilations", Dims(count, 1));
  const Dims pads = c.integers("pads", Dims(2 * count, 0));
  check(w.kernel, count, 1, "kernel_shape");
  check(w.strides, count, 1, "strides");
  check(w.dilations, count, 1, "dilations");
  check(pads, 2 * count, 0, "pads");
  w.pads_low.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(count));
  w.pads_high.assign(pads.begin() + static_cast<std::ptrdiff_t>(count), pads.end());
  return w;
}

Window window_of(OpContext& c, const Shape& operand, const Dims& kernel, bool ceil_mode, Dims* overhang) {
  if (operand.rank() < 3 || static_cast<int>(kernel.size()) != operand.rank() - 2)
    OpContext::unsupported(
        fmt::format("a window of {} dimensions does not fit an operand of shape {}", kernel.size(), operand.str()));
  Window w = plain_window(c, kernel);
  const std::string auto_pad = c.text("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  if (!same && auto_pad != "NOTSET" && auto_pad != "VALID" && !auto_pad.empty())
    OpContext::unsupported("unknown auto_pad '" + auto_pad + "'");
  if (overhang != nullptr) overhang->assign(kernel.size(), 0);
  for (std::size_t d = 0; d < kernel.size(); ++d) {
    const std::int64_t extent = operand[static_cast<int>(d) + 2];
    const std::int64_t span = (kernel[d] - 1) * w.dilations[d] + 1;
    if (auto_pad == "VALID") w.pads_low[d] = w.pads_high[d] = 0;
    if (same) {
      const std::int64_t outputs = (extent + w.strides[d] - 1) / w.strides[d];
      const std::int64_t total = std::max<std::int64_t>(0, (outputs - 1) * w.strides[d] + span - extent);
      w.pads_low[d] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.pads_high[d] = total - w.pads_low[d];
    }
    const std::int64_t room = extent + w.pads_low[d] + w.pads_high[d] - span;
    if (room < 0)
      OpContext::unsupported(
          fmt::format("a window of {} does not fit extent {} of dimension {} with its padding", span, extent, d + 2));
    std::int64_t outputs = room / w.strides[d] + 1;
    if (ceil_mode && !same && room % w.strides[d] != 0 && outputs * w.strides[d] < extent + w.pads_low[d]) {
      // One more window, which must start inside the operand or its leading padding.
      if (overhang != nullptr) (*overhang)[d] = outputs * w.strides[d] - room;
      ++outputs;
    }
    w.output.push_back(outputs);
  }
  return w;
}

ValueId over_channels(GraphBuilder& b, ValueId vector, const Shape& shape) {
  return b.broadcast_in(vector, shape, {1});
}

}  // namespace weft::onnx
