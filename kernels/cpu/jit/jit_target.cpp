// Instruction sets as LLVM names them.
#include "kernels/cpu/jit/jit_target.hpp"

namespace weft::cpu {
namespace {

void add_feature(JitTarget& target, bool present, const char* name) {
  if (!present) return;
  if (!target.features.empty()) target.features += ',';
  target.features += '+';
  target.features += name;
}

}  // namespace

std::string JitTarget::key() const { return cpu + " " + features; }

JitTarget jit_target(CpuIsa isa) {
  JitTarget target;
  target.isa = resolve_isa(isa);
  switch (target.isa) {
    case CpuIsa::avx512:
      target.cpu = "x86-64-v4";
      target.register_bytes = 64;
      target.fma = target.f16c = target.masked_memory = true;
      target.bf16 = __builtin_cpu_supports("avx512bf16") != 0;
      add_feature(target, target.bf16, "avx512bf16");
      add_feature(target, __builtin_cpu_supports("avx512vnni"), "avx512vnni");
      add_feature(target, __builtin_cpu_supports("avx512vbmi"), "avx512vbmi");
      break;
    case CpuIsa::avx2:
      target.cpu = "x86-64-v3";
      target.register_bytes = 32;
      target.fma = target.f16c = true;
      break;
    case CpuIsa::automatic:
    case CpuIsa::baseline: target.cpu = "x86-64"; break;
  }
  return target;
}

}  // namespace weft::cpu
