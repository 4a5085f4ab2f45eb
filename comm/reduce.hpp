// Element-wise reduction of host arrays in a fixed order: the arithmetic of every collective that sums.
//
// For each element i:  to[i] = (((s0[i] ∘ s1[i]) ∘ s2[i]) … ), sources in the order given, so a result depends neither
// on timing nor on how an array was cut into pieces. f16 and bf16 are widened to f32, combined there, and rounded
// once at the end. max and min give NaN when any source holds NaN. On bool, sum and max mean "or", min means "and".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "weft/dtype.hpp"
#include "weft/program.hpp"

namespace weft {

/// `to` may be one of `sources` (exactly, not shifted). At least one source.
void reduce_sources(std::span<const std::byte* const> sources, std::byte* to, std::int64_t count, DType type,
                    ReduceKind kind);

}  // namespace weft
