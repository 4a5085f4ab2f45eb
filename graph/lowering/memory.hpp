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

/// What a block takes in an arena: its bytes, rounded up to 64.
std::int64_t arena_size(const Block& block);

struct Packing {
  std::vector<std::int64_t> offsets;  ///< per block, multiples of 64
  std::int64_t bytes = 0;             ///< height of the packing
  std::int64_t bound = 0;             ///< largest sum of blocks live at one step: no packing is lower
};

/// Places blocks one by one, each into the lowest gap (best fit among gaps of equal height) that is free over its whole
/// range: 'greedy by size' of Pisarchyk and Lee, 'Efficient Memory Management for Deep Neural Net Inference' (2020),
/// from several orders, each improved while what sticks out on top can be placed earlier, until the packing is within a
/// percent of the bound or a fixed amount of work is done. Very many blocks are packed in one sweep instead.
Packing pack(const std::vector<Block>& blocks);
/// Every block beside the others.
Packing pack_apart(const std::vector<Block>& blocks);

/// Gives the arena buffers of `program` their places, and sets the arena's size and the bound, as `packer` packs them.
void place_arena(Program& program, MemorySpace space, Packing (*packer)(const std::vector<Block>&));

}  // namespace weft::lowering
