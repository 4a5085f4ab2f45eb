// TrainingCase: a folder with small data, models and a job, the `weft train` that runs it, and what a run left.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/checkpoint/checkpoint.hpp"
#include "src/faults/exit_report.hpp"
#include "src/faults/rank_records.hpp"
#include "tests/faults/process.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {

/// What a training line of log.jsonl says, apart from times.
struct LoggedStep {
  double loss = 0, lr = 0;
  bool operator==(const LoggedStep&) const = default;
};

class TrainingCase : public ::testing::Test {
 protected:
  /// data.h5 (`samples` random 10x10 images whose brightness tells their class), network.onnx, and job.yaml: a job with
  /// everything that a resumption must restore: momentum, schedule, dropout, batch norm, crop and flip, micro-batches,
  /// uneven tails.
  void SetUp() override;

  /// Replaces job.yaml.
  void write_job(const std::string& yaml) const;
  static std::string job_text();
  /// "weft train job.yaml …" alone, or under mpirun, in two passes a step.
  static std::vector<std::string> train(int ranks, const std::vector<std::string>& options = {});
  static std::vector<std::string> train_in_one_pass(int ranks, const std::vector<std::string>& options = {});
  static std::vector<std::string> weft(const std::vector<std::string>& arguments);
  /// The same on so many ranks.
  static std::vector<std::string> weft(int ranks, const std::vector<std::string>& arguments);
  Ended run(const std::vector<std::string>& command, double seconds = kLimit) const;

  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path run_folder(const std::string& name) const { return folder() / "runs" / name; }
  std::filesystem::path checkpoint(const std::string& name, std::int64_t step) const;
  /// Makes run `name` as if it had been stopped after that checkpoint of `other`.
  void start_from(const std::string& name, const std::string& other, std::int64_t step) const;
  std::map<std::int64_t, LoggedStep> log(const std::string& name) const;
  /// The loss of the last evaluation line.
  double evaluated_loss(const std::string& name) const;
  /// The evaluation lines, as they are.
  std::vector<std::string> evaluations(const std::string& name) const;
  std::optional<ExitReport> exit_report(const std::string& name) const;
  /// Steps of the run's checkpoints, of which each must be sound.
  std::vector<std::int64_t> sound_checkpoints(const std::string& name) const;

  /// Waits until rank `rank` of the newest start is in `step` or later; its record then. Fails the test after
  /// `seconds`.
  LastOperation wait_for_step(const std::string& name, int rank, std::int64_t step, Process& process,
                              double seconds = kLimit) const;

  /// Generous: the machine may be busy with other tests.
  static constexpr double kLimit = 60 * kPatience;
  /// For what ends without a wait for anybody, and for what is left of it.
  static constexpr double kSoon = 30 * kPatience, kAtOnce = 10 * kPatience;

 private:
  TemporaryFolder folder_;
};

/// "" when two checkpoints hold the same states, bit for bit; otherwise the first difference.
std::string first_difference(const std::filesystem::path& one, const std::filesystem::path& other);
/// Square images of `pixels` a side.
void write_data(const std::filesystem::path& path, std::int64_t samples, std::int64_t classes = 10,
                std::int64_t pixels = 10);
/// Convolution, batch norm, ReLU, dropout of `dropout`, global pooling, one dense layer.
void write_network(const std::filesystem::path& path, double dropout, std::int64_t classes = 10);
/// True, with a message on the test's log, when `path` could be made a small file system of its own.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path path, const std::string& options);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  /// Throws SystemError.
  void make_read_only() const;

 private:
  std::filesystem::path path_;
  bool mounted_ = false;
};

}  // namespace weft::testing
