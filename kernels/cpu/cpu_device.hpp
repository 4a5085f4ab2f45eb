// The CPU as a Device: library contractions (oneDNN) and generated loops on one OpenMP team.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/isa.hpp"
#include "weft/device.hpp"

namespace weft {

struct CpuOptions {
  int threads = 0;  ///< compute threads; 0: what OpenMP would use (OMP_NUM_THREADS, or the cores this process may use)
  CpuIsa isa = CpuIsa::automatic;  ///< of the generated loops; oneDNN detects its own
  bool deterministic = true;       ///< kernels repeat bit for bit at equal thread counts (all of today's do)
  /// Names of implementations that are not asked ("loop.contraction"): to compare those that are left.
  std::vector<std::string> without = {};
  std::string code_cache = {};                        ///< folder for compiled kernels; empty: none are kept
  std::function<void(const std::string&)> warn = {};  ///< told, once, why kernels cannot be kept
  bool fast_math = false;                             ///< convolutions may be computed by Winograd's algorithm
};

/// The folder for compiled kernels that the environment asks for: $WEFT_CACHE; else a folder `weft` under
/// $XDG_CACHE_HOME or ~/.cache, or this user's own in $TMPDIR or /tmp. Empty when WEFT_CACHE is "off". `variable` looks
/// a variable up, as getenv does.
std::string kernel_cache_folder(const std::function<const char*(const char*)>& variable);

/// Launches run at once on the calling thread and the OpenMP team: lanes are in order by construction, events are
/// always done. Denormals are flushed to zero in kernels, on every thread. One thread at a time may launch.
std::unique_ptr<Device> make_cpu_device(const CpuOptions& options = {});

}  // namespace weft
