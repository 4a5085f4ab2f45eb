// Choosing schedules of generated kernels by measuring them.
//
// A kernel is worth it when it touches enough memory; those that touch most in a step come first. Its default and the
// alternatives of kernels/loops/schedule.hpp run in turns on the team that will run them, on operands of the tuner's
// own: over copies that no cache holds, as a step mostly finds them, and over the same ones again. An alternative is
// taken when it is clearly faster on the former, and is so again, alone against the default; and never slower on the
// latter. All schedules give the same bits, so it does not matter to anybody what was chosen.
//
// What was found is kept beside the kernel's code, by kernel, processor, threads and cache. What the time did not
// suffice for is kept too: it is tried again only by a start that gives more of it. The clock is read before whatever
// takes long: compiling, filling memory and each run. Where memory is short, or when told to stop, nothing is kept of
// what was not measured: the next start tries it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/generated.hpp"

namespace weft::cpu {

/// Seconds of the fastest of several runs of each kernel, taken in turns; `round` says which operands they get. Empty:
/// there was no time for it.
enum class TuningRound { cold, warm };
using Stopwatch = std::function<std::vector<double>(std::span<const CpuKernel* const> kernels, const KernelUse& use,
                                                    TuningRound round)>;

struct TuningOptions {
  double seconds = 0;                               ///< of measuring, compiling included; 0: only what was found before
  double least_bytes = 8 << 20;                     ///< of operands and results, in all launches of a step
  double most_bytes = 256 << 20;                    ///< of one launch: what the tuner may allocate
  std::function<bool()> stop{};                     ///< asked often: whether to leave at once; empty: no
  std::function<double()> clock{};                  ///< seconds since some moment; empty: a steady clock
  std::function<std::int64_t()> available_bytes{};  ///< half of it may be taken; empty: available_memory
  Stopwatch stopwatch{};                            ///< empty: measured
};

/// What notes about kernels are kept under (KernelCompiler::note).
std::string note_heading(int threads);

/// What was found about the kernel of each of `uses` that is large enough and has alternatives. Nothing without a cache
/// on disk, for then every start would measure anew. Adds to `choices`.
std::vector<TunedKernel> tune_schedules(std::span<const KernelUse> uses, const Context& context,
                                        ScheduleChoices& choices, const TuningOptions& options);

}  // namespace weft::cpu
