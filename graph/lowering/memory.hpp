// Memory planning: arena offsets from live ranges.
#pragma once

#include <cstdint>
#include <vector>

#include "weft/program.hpp"

namespace weft::lowering {

/// One block of arena memory: needed from step `first` to step `last`, both included.
struct Block {
  std::int64_t bytes = 0;
  int first = 0, last = 0;
};

struct Packing {
  std::vector<std::int64_t> offsets;  ///< per block, multiples of 64
  std::int64_t bytes = 0;             ///< height of the packing
  std::int64_t bound = 0;             ///< largest sum of blocks live at one step: no packing is lower
};

/// Packs by decreasing size, each block into the lowest gap (best fit among gaps of equal height) that is free over its
/// whole range: the 'greedy by size' strategy of Pisarchyk and Lee, 'Efficient Memory Management for Deep Neural Net
/// Inference' (2020). Sizes are rounded up to 64 bytes.
Packing pack(const std::vector<Block>& blocks);
/// Every block beside the others.
Packing pack_apart(const std::vector<Block>& blocks);

/// Gives the arena buffers of `program` their places, and sets the arena's size and the bound, as `packer` packs them.
void place_arena(Program& program, MemorySpace space, Packing (*packer)(const std::vector<Block>&));

}  // namespace weft::lowering
