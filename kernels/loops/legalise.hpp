// Legalising: what a target has no instruction for becomes loops over what it has.
//
// A tile product becomes rows of registers. Each step of the innermost loop, over the depth, loads one row of B as
// vectors and adds to a few rows of C, held in registers throughout, its product with one element of A each. Elements
// that are pairs of bf16 numbers are multiplied as such: one instruction where the processor has it.
#pragma once

#include "kernels/loops/ir.hpp"

namespace weft::loops {

struct TileTarget {
  int register_bytes = 64;  ///< of a vector
  int registers = 32;
};

/// `kernel` without tile products.
Kernel legalised(const Kernel& kernel, const TileTarget& target);

}  // namespace weft::loops
