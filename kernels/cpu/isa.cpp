// Detection of the processor's instruction sets.
#include "kernels/cpu/isa.hpp"

#include <string>

#include "weft/error.hpp"

namespace weft {
namespace {

bool has(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case CpuIsa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CpuIsa::automatic:
    case CpuIsa::baseline: break;
  }
  return true;
}

}  // namespace

std::string_view name_of(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::avx512: return "avx512";
    case CpuIsa::avx2: return "avx2";
    case CpuIsa::baseline: return "baseline";
    case CpuIsa::automatic: break;
  }
  return "auto";
}

CpuIsa resolve_isa(CpuIsa wanted) {
  if (wanted != CpuIsa::automatic) {
    if (!has(wanted))
      throw UserError("isa: this processor has no " + std::string(name_of(wanted)) + "; use auto, or one that it has");
    return wanted;
  }
  for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2})
    if (has(isa)) return isa;
  return CpuIsa::baseline;
}

}  // namespace weft
