// Site: what an administrator says of a cluster once, and what calibration measured on it. `scheduler/` reads both.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weft {

struct SitePartition {
  std::string name;
  int nodes = 1;
  int max_nodes_per_job = 0;  ///< 0: no limit
  std::string max_time = "1-00:00:00";
};

struct SiteNode {
  int sockets = 1, cores_per_socket = 1, numa_per_socket = 1;
  std::int64_t memory_bytes = 0;
};

struct Site {
  std::string name;
  std::string scheduler = "none";  ///< slurm or none
  std::vector<SitePartition> partitions;
  SiteNode node;
  std::string mpi_plugin = "pmix";   ///< srun --mpi=
  std::vector<std::string> modules;  ///< module names loaded in job scripts
  std::map<std::string, std::string> environment;
  int signal_seconds = 120;  ///< notice before the time limit
  bool requeue = true;
  std::string account, qos, partition;  ///< defaults
};

/// One measured point of a cost curve.
struct CostPoint {
  double x = 0;        ///< bytes or flops
  double seconds = 0;  ///< median
  double spread = 0;   ///< (90th percentile - 10th) / median
};

/// Measured costs of a machine. Times of one launch; rates are of one rank with `threads` compute threads.
struct Calibration {
  std::string machine;  ///< processor, as found
  int threads = 1;
  double matmul_flops = 0;                           ///< peak f32 multiply-add rate measured, flop/s
  double memory_bandwidth = 0;                       ///< triad, bytes/s
  std::map<std::string, CostPoint> kernels;          ///< by KernelSpec::key()
  std::map<int, std::vector<CostPoint>> all_reduce;  ///< by rank count: seconds by bytes
  std::string measured_at;                           ///< ISO 8601
};

}  // namespace weft
