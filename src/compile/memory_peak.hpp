// What is in the arena when most is: each buffer, who made it, and who is the last to need it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "weft/program.hpp"

namespace weft {

struct LiveBuffer {
  int buffer = -1;   ///< index into Program::buffers
  int maker = -1;    ///< the instruction that touches it first
  int last = -1;     ///< the one that touches it last
  std::string type;  ///< of what the first one writes there: "f32[32, 64, 56, 56]", with its layout where blocked
  std::int64_t bytes = 0;
};

struct MemoryPeak {
  int instruction = -1;  ///< -1: nothing is ever in the arena
  std::int64_t bytes = 0;
  std::vector<LiveBuffer> buffers;  ///< by falling bytes
};

/// Buffers live from the first instruction that touches them to the last; those of a collective until its wait.
MemoryPeak find_memory_peak(const Program& program);

/// Totals by what made the buffers, and a table of the largest.
std::string peak_text(const Program& program);
/// All of them.
nlohmann::ordered_json peak_json(const Program& program);

}  // namespace weft
