// Why a Program looks as it does: its kernels, equal ones together, who took them and who refused; what was moved only
// to lie otherwise; and what is in memory when there is most of it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "graph/lowering/lower.hpp"

namespace weft {

/// All launches of one kernel.
struct KernelGroup {
  int kernel = -1;                      ///< index into Program::kernels
  std::vector<int> instructions;        ///< that launch it
  std::vector<std::string> operators;   ///< of its body, constants aside, each once, in order
  double seconds = 0;                   ///< estimated, of all launches
  std::vector<KernelRefusal> refusals;  ///< of those asked before the one that took it, each once
};

/// By falling time.
std::vector<KernelGroup> group_kernels(const Lowered& lowered);

struct ImplementationTotal {
  std::string implementation;
  std::int64_t kernels = 0, launches = 0;
  double seconds = 0, flops = 0, bytes = 0;
};
/// By falling time.
std::vector<ImplementationTotal> total_by_implementation(const Lowered& lowered);

/// Kernels that move elements and change nothing else.
struct Reorders {
  std::int64_t launches = 0, bytes = 0;  ///< read and written
  double seconds = 0;
};
Reorders count_reorders(const Program& program);

/// What of a Program is in 16 bits.
struct NarrowUse {
  std::optional<DType> type;                    ///< f16 or bf16; absent: nothing is
  std::int64_t contractions = 0, narrow = 0;    ///< launches; those that read that type
  std::int64_t widened = 0, widened_bytes = 0;  ///< copies in f32 of narrow values that are written to memory
};
NarrowUse count_narrow(const Program& program);

/// All of that of one Program, for people; and as JSON, which adds every launch's name.
std::string explain_text(const Lowered& lowered);
nlohmann::ordered_json explain_json(const Lowered& lowered);

}  // namespace weft
