// The values of a body around a depthwise convolution as expressions at one position of one channel.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/loops/build.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

/// Where the loops stand. `known` are values that the loops have made there.
struct DepthwisePosition {
  ExprId sample = -1, row = -1, column = -1;
  Shape shape;  ///< of what is walked
  std::map<ValueId, ExprId> known{};
};

class DepthwiseValues {
 public:
  /// All inputs and outputs of `body` have layouts. Channels come in blocks of `width`.
  DepthwiseValues(Builder& builder, const Graph& body, std::int64_t width);

  /// The block of channels at hand, and the lane in it.
  void move_to(ExprId block, ExprId lane) { block_ = block, lane_ = lane; }
  ExprId lane() const { return lane_; }
  ExprId channel() { return b_.add(b_.mul(block_, b_.integer(width_)), lane_); }

  /// Of what is walked, or one a channel, or one.
  ExprId value(ValueId v, DepthwisePosition& at);
  ExprId address(ValueId v, const DepthwisePosition& at);
  std::int32_t buffer(ValueId v) const { return buffers_.at(v); }
  /// Set where something was not understood.
  const std::string& refusal() const { return refusal_; }

 private:
  ExprId refuse(std::string why);
  ExprId make(ValueId v, DepthwisePosition& at);
  ExprId small_address(ValueId v);
  ExprId pointwise_of(const Node& node, DType type, DepthwisePosition& at);

  Builder& b_;
  const Graph& body_;
  std::int64_t width_;
  std::map<ValueId, std::int32_t> buffers_;
  ExprId block_ = -1, lane_ = -1;
  std::string refusal_;
  int depth_ = 0;
};

/// Sets the layouts of `body` that are free, and the channels that vectors hold. A reason where the fixed ones do not
/// go together.
std::string choose_depthwise_layouts(Graph& body, std::int64_t& width);

}  // namespace weft::loops
