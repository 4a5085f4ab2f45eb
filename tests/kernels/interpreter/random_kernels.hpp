// Kernels at random, with arguments to run them on: whatever an emitter must get right, mixed.
//
// Every result is the same in whatever order lanes run and are joined, and for a target with or without masked memory;
// subnormal numbers, which bf16 hardware drops, do not occur among the arguments.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/loops/ir.hpp"

namespace weft::loops::testing {

struct RandomKernel {
  Kernel kernel;
  std::vector<std::vector<std::byte>> arguments;
  std::vector<DType> types;  ///< of the arguments
};

/// The same for the same seed.
RandomKernel random_kernel(unsigned seed);

}  // namespace weft::loops::testing
