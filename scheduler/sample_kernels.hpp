// The kernels that calibration times to learn a machine's rates: bodies of the kinds and sizes that training is made
// of. Which implementation takes each is the device's answer.
#pragma once

#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft {

struct SampleKernel {
  std::string name;  ///< for people: "matmul 512x512x512"
  Graph body;
};

/// Matrix products, convolutions forward and backward, reductions, normalisation sums, pooling and transcendental
/// elementwise kernels, small to large. `quick`: about a third of them.
std::vector<SampleKernel> sample_kernels(bool quick);

/// a = b + s * c over three arrays of `bytes` bytes together: what memory bandwidth is measured with.
SampleKernel triad(double bytes);

/// Next to no work: what a launch costs.
SampleKernel empty_kernel();

/// n x n matrix product.
SampleKernel square_matmul(std::int64_t n);

}  // namespace weft
