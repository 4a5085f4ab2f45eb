// Instruction sets that the generated loops are compiled for, best first.
#pragma once

#include <cstdint>
#include <string_view>

namespace weft {

/// `automatic` resolves to the best that this processor has.
enum class CpuIsa : std::uint8_t { automatic, avx512, avx2, baseline };

/// "avx512", "avx2", "baseline".
std::string_view name_of(CpuIsa isa);
/// Resolves `automatic`. Throws UserError when the processor lacks the one asked for.
CpuIsa resolve_isa(CpuIsa wanted);

}  // namespace weft
