// A windowed reduction as loops: dimensions are either windowed or carried along ("batch").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::cpu {

struct WindowBatchLoop {
  std::int64_t extent, x_stride, y_stride;
};

struct WindowLoop {
  std::int64_t outputs, inputs, window, stride, low, dilation, x_stride, y_stride;
};

/// `x` is the wide side (operand, or its gradient), `y` the narrow one.
struct WindowPlan {
  std::string refusal;
  Op op = Op::reduce_window_max;
  DType type = DType::f32;
  ValueId x = kNone, y = kNone;
  std::vector<WindowBatchLoop> batch;
  std::vector<WindowLoop> windows;
  WindowBatchLoop run{1, 1, 1};  ///< innermost batch loop, extent 1 when the run is along the last window
  std::int64_t positions = 1;    ///< product of the batch extents but the run's
  std::int64_t x_elements = 0, y_elements = 0;
};

/// Of a body of one windowed operator; sets the free layouts of `body`.
WindowPlan plan_window(Graph& body);

}  // namespace weft::cpu
