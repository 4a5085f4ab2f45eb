// What training, evaluation and `weft compile` start from: a job's model file, what its data says about shapes, and how
// its batches are read.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "graph/onnx/model_file.hpp"
#include "src/data/batch_reader.hpp"
#include "src/data/data_file.hpp"
#include "src/train/program_set.hpp"
#include "src/train/step_compiler.hpp"
#include "weft/communicator.hpp"
#include "weft/job.hpp"
#include "weft/plan.hpp"
#include "weft/state.hpp"

namespace weft {

struct JobModel {
  onnx::ModelFile file;
  std::string fingerprint;  ///< of the file's bytes
};

/// Collective. Throws the same on all ranks: UserError for a model that is not sound, SystemError for files.
JobModel open_model(Communicator& world, const JobSpec& job);

/// One file of samples, as the job's model sees it.
struct JobData {
  std::string path;
  DataDescription description;
  std::int64_t samples = 0;
  SampleShapes shapes;
  std::string fingerprint;  ///< of what the datasets are, wherever the file lies and whoever wrote it
};

/// Collective. Describes `path`, which is job.data.train or job.data.eval; reads no elements. Throws as open_model and
/// sample_count do.
JobData open_data(Communicator& world, const JobSpec& job, const onnx::ModelFile& model, const std::string& path);

/// The share of `path` of rank `rank` of the mesh, in batches of job.batch: feeds as the model with `samples` samples
/// wants them, targets and classes as the loss does. Ranks that differ along other axes than "data" read the same. In
/// training, in one pass a batch.
ReaderOptions reader_options(const JobSpec& job, StepCompiler& compiler, const std::string& path, std::int64_t samples,
                             const Mesh& mesh, int rank);
/// Samples of a full evaluation batch: those of a training pass, which fit memory.
std::int64_t evaluation_batch(const Plan& plan);
/// Samples of `path` in such batches, in file order, each once, not augmented.
ReaderOptions evaluation_reader(ReaderOptions training, const std::string& path, const Plan& plan);

/// Adds this rank's parts of the model's states with their first values; tied ones once.
void add_model_states(StateTable& states, const Model& model, const ProgramSet& programs);

}  // namespace weft
