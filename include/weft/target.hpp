// Target: what compilation must know of a device, as data, so that a laptop can plan for a cluster.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weft {

enum class DeviceKind : std::uint8_t { cpu, cuda, opencl };

struct Target {
  DeviceKind kind = DeviceKind::cpu;
  std::string isa;                     ///< "avx512", "avx2", "baseline"; "sm_90"; OpenCL device name
  int threads = 1;                     ///< compute threads (cpu)
  std::int64_t memory_bytes = 0;       ///< usable by one rank
  bool fast_math = false;              ///< convolutions may be computed by Winograd's algorithm
  std::vector<std::string> libraries;  ///< "oneDNN 2.6.3", sorted

  bool operator==(const Target&) const = default;
  std::string str() const;  ///< "cpu avx512 threads=2 (oneDNN 2.6.3)"
};

}  // namespace weft
