// SlurmCase: training jobs on a Slurm cluster of namespaces on this machine (cluster.sh), submitted by `weft submit`.
//
// The daemons are Debian's; each node has its own network, hostname, processes, /tmp and /dev/shm. One cluster serves
// all tests of a program and goes with it, whatever becomes of the program. Tests are skipped, with the reason, where
// there can be none.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/training_case.hpp"

namespace weft::testing {

/// What `scontrol show job` says.
struct SlurmJob {
  std::string state;      ///< PENDING, RUNNING, COMPLETED, FAILED, …
  std::string exit_code;  ///< "75:0"
  int restarts = 0;
  std::string str;  ///< all of it
  bool ended() const { return state != "PENDING" && state != "RUNNING" && state != "COMPLETING"; }
};

class SlurmCluster {
 public:
  /// Throws SystemError when it does not start.
  SlurmCluster();
  ~SlurmCluster();
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;

  /// Why there can be none here; "" when there can.
  static std::string lacking();
  /// On the head, or on a node, as after a login.
  Ended run(const std::vector<std::string>& command, const std::filesystem::path& folder, double seconds = 30) const;
  Ended run_on(const std::string& node, const std::vector<std::string>& command) const;
  static std::vector<std::string> nodes() { return {"n1", "n2", "n3"}; }
  /// As a power cut: nothing on the node can say a word.
  void cut(const std::string& node) const;
  /// The only folder below /tmp that all nodes see.
  std::filesystem::path shared() const { return path_ / "shared"; }
  std::string logs() const;

 private:
  Ended call(std::vector<std::string> arguments, const std::filesystem::path& folder, double seconds) const;
  std::filesystem::path path_;
};

class SlurmCase : public TrainingCase {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  static const SlurmCluster& cluster() { return *cluster_; }
  /// Options of a job on two nodes.
  static std::vector<std::string> on_two_nodes(int ranks_per_node, const std::vector<std::string>& more = {});
  /// Replaces site.yaml: three nodes, with `more` lines.
  void write_site(const std::string& more = "") const;
  /// weft submit job.yaml --site site.yaml …, on the head.
  Ended submit(const std::vector<std::string>& options) const;
  /// The number of the job, which must have been taken.
  std::string submitted(const std::vector<std::string>& options) const;
  SlurmJob job(const std::string& number) const;
  /// Polls until it holds.
  static bool within(double seconds, const std::function<bool()>& holds);
  SlurmJob wait_for_end(const std::string& number, double seconds) const;
  /// Its record, once rank `rank` is in step `step` or later.
  LastOperation wait_for_step(const std::string& name, const std::string& number, int rank, std::int64_t step) const;
  /// What the job wrote: slurm-N.out.
  std::string output(const std::string& name, const std::string& number) const;
  /// Hosts of the ranks, by rank.
  std::vector<std::string> hosts(const std::string& name) const;

 private:
  static std::unique_ptr<SlurmCluster> cluster_;
};

}  // namespace weft::testing
