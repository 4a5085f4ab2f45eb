// The table of kernel families, best first.
#include "kernels/cpu/generated.hpp"
#include "kernels/cpu/generated_segments.hpp"
#include "kernels/cpu/implementation.hpp"
#include "kernels/cpu/loop_contraction.hpp"
#include "kernels/cpu/loop_copy.hpp"
#include "kernels/cpu/loop_depthwise.hpp"
#include "kernels/cpu/onednn_conv.hpp"
#include "kernels/cpu/onednn_matmul.hpp"
#include "kernels/cpu/onednn_merged.hpp"
#include "kernels/cpu/onednn_reorder.hpp"
#include "kernels/cpu/reference.hpp"

namespace weft::cpu {

std::span<const Implementation> implementations() {
  static constexpr Implementation kTable[] = {
      {"onednn.matmul", claim_matmul, compile_matmul},
      {"onednn.winograd", claim_winograd, compile_winograd},
      {"onednn.winograd_backward_data", claim_winograd_backward_data, compile_winograd_backward_data},
      {"onednn.winograd_backward_weights", claim_winograd_backward_weights, compile_winograd_backward_weights},
      {"onednn.convolution", claim_convolution, compile_convolution},
      {"onednn.convolution_backward_data", claim_convolution_backward_data, compile_convolution_backward_data},
      {"onednn.convolution_backward_weights", claim_convolution_backward_weights, compile_convolution_backward_weights},
      {"loop.depthwise", claim_depthwise, compile_depthwise},
      {"onednn.merged_groups", claim_merged_groups, compile_merged_groups},
      {"onednn.reorder", claim_reorder, compile_reorder},
      {"loop.copy", claim_copy, compile_copy},
      {"generated.segments", claim_segments, compile_segments},
      {"generated", claim_generated, compile_generated},
      {"loop.contraction", claim_contraction, compile_contraction},
      {"reference", claim_reference, compile_reference},
  };
  return kTable;
}

}  // namespace weft::cpu
