// Site: what an administrator says of a cluster once, and what calibration measured on it. `scheduler/` reads both.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weft/program.hpp"

namespace weft {

struct SitePartition {
  std::string name;
  int nodes = 1;
  int max_nodes_per_job = 0;  ///< 0: no limit
  std::string max_time = "1-00:00:00";
  bool operator==(const SitePartition&) const = default;
};

/// One node; all nodes of a site are taken to be alike.
struct SiteNode {
  int sockets = 1, cores_per_socket = 1, numa_per_socket = 1;
  std::int64_t memory_bytes = 0;  ///< that jobs may use; 0: not known
  int cores() const { return sockets * cores_per_socket; }
  bool operator==(const SiteNode&) const = default;
};

/// Every text in it was checked when it was read: names are safe names, the rest has no control characters.
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
  int max_restarts = 100;               ///< how often a job script puts its job back into the queue
  std::string account, qos, partition;  ///< defaults
  std::string calibration;      ///< file of measured costs, relative to the site file; "": NAME.calibration.json
  std::string directory = ".";  ///< where the site file is
  bool operator==(const Site&) const = default;

  const SitePartition* find_partition(std::string_view name) const;
};

/// One measured point of a cost curve.
struct CostPoint {
  double x = 0;        ///< bytes or flops
  double seconds = 0;  ///< median
  double spread = 0;   ///< (90th percentile - 10th) / median
  bool operator==(const CostPoint&) const = default;
};

/// A collective over `ranks` ranks on `nodes` nodes: seconds by the bytes that each rank contributes.
struct CollectiveCost {
  CollectiveKind kind = CollectiveKind::all_reduce;
  int ranks = 2, nodes = 1;
  std::vector<CostPoint> points;  ///< ascending x
  bool operator==(const CollectiveCost&) const = default;
};

/// Costs measured while a node held `ranks` ranks of `threads` compute threads each, all of them at work. Kernel times
/// are of one launch on one rank.
struct Calibration {
  std::string target;  ///< Target::str() of the device
  int ranks = 1, threads = 1;
  double peak_flops = 0;         ///< fastest f32 contraction measured, flop/s of one rank
  double memory_bandwidth = 0;   ///< triad on arrays far larger than the caches, bytes/s of one rank
  double peak_bandwidth = 0;     ///< triad at its fastest (in caches), bytes/s of one rank
  double launch_seconds = 0;     ///< a kernel with next to no work
  double overlap_cost = 0;       ///< compute time lost per second of a collective in flight, 0 to 1
  std::vector<CostPoint> triad;  ///< seconds by bytes moved, elementwise on arrays of all sizes; ascending x
  std::map<std::string, CostPoint> kernels;             ///< by KernelSpec::key(); x is flops, or bytes without flops
  std::map<std::string, std::vector<CostPoint>> rates;  ///< by implementation and type; ascending x, as above
  std::vector<CollectiveCost> collectives;
  std::string measured_at;  ///< ISO 8601, UTC
  bool operator==(const Calibration&) const = default;
};

/// Everything measured of a site.
struct CalibrationSet {
  std::string machine;               ///< processor, as found
  double read_bandwidth = 0;         ///< of storage, bytes/s, nothing cached; 0: not measured
  std::vector<Calibration> entries;  ///< one for each (ranks, threads)
  double write_bandwidth = 0;        ///< of storage, bytes/s, until written bytes are safe; 0: not measured
  bool operator==(const CalibrationSet&) const = default;

  const Calibration* find(int ranks, int threads) const;  ///< nullptr when not measured
};

}  // namespace weft
