// Windowed reductions and their gradients as loops over two laid-out tensors.
//
// `x` is the wide side (operand of the forward operator, result of its gradient), `y` the narrow one. Dimensions that
// are not windowed are batch loops; a position is one index of each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::loops {

/// One windowed dimension: output o reads inputs o * stride - low + k * dilation, 0 <= k < window, those inside.
struct WindowLoop {
  std::int64_t outputs = 1, inputs = 1, window = 1, stride = 1, low = 0, dilation = 1;
  std::int64_t x_stride = 0, y_stride = 0;  ///< in elements

  /// Outputs [first, second) have all their taps inside.
  std::pair<std::int64_t, std::int64_t> interior() const;
  /// Every input is read by exactly one output.
  bool tiles() const;
};

struct WindowBatchLoop {
  std::int64_t extent = 1;
  std::int64_t x_stride = 0, y_stride = 0;
};

struct WindowPlan {
  std::string refusal;  ///< set: nothing else is
  Op op = Op::reduce_window_max;
  DType type = DType::f32;
  ValueId x = kNone, y = kNone;
  std::vector<WindowBatchLoop> batch;  ///< all but the run's
  WindowBatchLoop run;                 ///< the batch loop that is contiguous on the wide side; of extent 1 without one
  std::vector<WindowLoop> windows;

  bool forward() const { return op == Op::reduce_window_max || op == Op::reduce_window_sum; }
  bool max() const { return op == Op::reduce_window_max || op == Op::reduce_window_max_grad; }
  std::int64_t positions() const;  ///< of the batch loops, the run's excluded
  std::int64_t taps() const;       ///< of a window
  bool tiles() const;              ///< windows share no element of the wide side and leave none out
};

/// Of a body of one windowed operator. Layouts that are free are chosen, like those that are fixed, and set.
WindowPlan plan_window(Graph& body);

}  // namespace weft::loops
