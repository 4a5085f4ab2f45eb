// Plan: every choice about how a job runs that does not change what it computes.
#pragma once

#include <cstdint>
#include <string>

#include "weft/dtype.hpp"
#include "weft/mesh.hpp"

namespace weft {

enum class Recompute : std::uint8_t { none, selective, full };

struct Plan {
  Mesh mesh;                       ///< at least the axis "data"
  StateCutList cuts = {};          ///< of every state along every axis that cuts states, by state, then by axis
  std::int64_t global_batch = 0;   ///< samples an optimiser step
  std::int64_t micro_batches = 1;  ///< forward and backward passes accumulated into one step
  int zero = 0;                    ///< ZeRO stage, 0 to 3
  Recompute recompute = Recompute::none;
  DType compute = DType::f32;           ///< precision of contractions
  std::int64_t bucket_bytes = 4 << 20;  ///< gradient bytes an all-reduce
  bool deterministic = false;           ///< fixed reduction order everywhere
  int threads = 0;                      ///< compute threads a rank; 0: what the binding allows

  bool operator==(const Plan&) const = default;
  /// JSON, as written to plan.json; `parse` throws UserError on anything it did not write.
  std::string json() const;
  static Plan parse(std::string_view json);
};

}  // namespace weft
