// JobPrograms: the Programs that a job would run under any arrangement of ranks, built without running anything.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "graph/onnx/model_file.hpp"
#include "scheduler/planner.hpp"
#include "scheduler/run_time.hpp"
#include "src/train/job_shapes.hpp"
#include "weft/device.hpp"
#include "weft/job.hpp"

namespace weft {

class JobPrograms {
 public:
  /// Reads the model, and what the training data says about itself. `node_memory` is what the ranks of a node share; 0:
  /// not known. Throws UserError where job, model and data do not fit, SystemError when a file cannot be read.
  JobPrograms(const JobSpec& job, std::int64_t node_memory);
  ~JobPrograms();

  const JobSpec& job() const { return job_; }
  const RunLength& length() const { return length_; }

  /// What a run under this alternative does beside its steps.
  RunWork work(const Alternative& alternative) const;

  /// One full optimiser step as rank 0 would run it. Throws UserError where the job cannot run so.
  BuiltStep build(const Arrangement& arrangement);
  /// Opens the data as the ranks will, so that what is wrong with it is known before a job waits in a queue. Throws
  /// what they would: UserError where datasets are missing or do not fit the model, SystemError where files cannot be
  /// read.
  void check_data(const Plan& plan);

 private:
  Device& device(int threads);

  JobSpec job_;
  std::int64_t node_memory_;
  std::unique_ptr<onnx::ModelFile> model_;
  SampleShapes shapes_;
  RunLength length_;
  std::int64_t step_samples_ = 0;
  std::int64_t data_bytes_ = 0;
  std::map<int, std::unique_ptr<Device>> devices_;  ///< by threads
};

}  // namespace weft
