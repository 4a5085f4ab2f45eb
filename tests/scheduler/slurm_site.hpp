// A Slurm site and a job for it, as the job script's tests use them.
#pragma once

#include "scheduler/jobscript.hpp"

namespace weft::testing {

inline JobSpec slurm_job() {
  JobSpec j;
  j.name = "fashion";
  j.resources.time = "02:00:00";
  return j;
}

inline Site slurm_site() {
  Site s;
  s.name = "cluster";
  s.scheduler = "slurm";
  s.partitions = {{"batch", 8, 4, "1-00:00:00"}, {"short", 2, 0, "00:30:00"}};
  s.partition = "batch";
  s.account = "phys-1";
  s.node = {2, 16, 2, 64LL << 30};
  s.modules = {"gcc/12", "openmpi/4.1.4"};
  s.environment = {{"UCX_TLS", "rc,self"}};
  s.signal_seconds = 180;
  s.max_restarts = 5;
  return s;
}

inline ResourceRequest four_by_eight() { return {1, 4, 8, 3LL << 30}; }

inline ScriptPaths plain_paths() {
  return {"/opt/weft/bin/weft", "/home/a/runs/fashion/job.yaml", "/home/a/cluster.yaml", "/home/a/runs/fashion"};
}

}  // namespace weft::testing
