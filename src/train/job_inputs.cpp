// Opening a job's files, and the reader's options that follow from model and loss.
#include "src/train/job_inputs.hpp"

#include <fmt/format.h>

#include <optional>

#include "comm/agreement.hpp"
#include "src/train/job_shapes.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

std::string fingerprint(std::uint64_t hash) { return "xxh64:" + hash_text(hash); }

std::string fingerprint(const DataDescription& data) {
  std::string text = fmt::format("{}", data.samples);
  for (const DatasetDescription& d : data.datasets)
    text += fmt::format("\n{} {} {} {}", d.name, name_of(d.dtype), d.shape.str(), d.checksum);
  return fingerprint(hash64(text));
}

}  // namespace

JobModel open_model(Communicator& world, const JobSpec& job) {
  std::optional<JobModel> model;
  together(world, "reading the model", [&] {
    onnx::ModelFile file = onnx::load_model(job.model);
    const std::uint64_t hash = file.hash();
    model.emplace(JobModel{std::move(file), fingerprint(hash)});
    return std::vector<std::byte>{};
  });
  return *std::move(model);
}

JobData open_data(Communicator& world, const JobSpec& job, const onnx::ModelFile& model, const std::string& path) {
  JobData data;
  data.path = path;
  together(world, "opening " + path, [&] {
    data.description = DataFile(path).describe();
    data.samples = sample_count(data.description);
    return std::vector<std::byte>{};
  });
  data.fingerprint = fingerprint(data.description);
  data.shapes = sample_shapes(model, job, data.description);
  return data;
}

ReaderOptions reader_options(const JobSpec& job, StepCompiler& compiler, const std::string& path, std::int64_t samples,
                             const Mesh& mesh, int rank) {
  ReaderOptions reader;
  reader.path = path;
  reader.inputs = job.data.inputs;
  if (!job.data.target.empty()) reader.inputs["target"] = job.data.target;
  const Model& model = compiler.model(samples);
  for (const GraphInput& i : model.forward.inputs())
    if (i.role == InputRole::feed) reader.wanted[i.name] = model.forward.type(i.value);
  if (const auto target = compiler.target(samples)) {
    reader.wanted["target"] = *target;
    reader.targets.insert("target");
    if (is_integer(target->dtype) && job.loss.name == "cross_entropy") {
      reader.classes["target"] = compiler.classes(samples);
      reader.ignored_class = job.loss.ignore_index;
    }
  }
  reader.batch = job.batch;
  reader.shuffle = job.data.shuffle;
  reader.seed = job.seed;
  const int axis = mesh.axis_index("data");
  reader.rank = axis < 0 ? 0 : mesh.coordinates(rank).at(static_cast<std::size_t>(axis));
  reader.ranks = mesh.axis_size("data");
  reader.processes = mesh.ranks();
  reader.augmentation = job.data;
  reader.timeout_seconds = job.timeout_seconds;
  return reader;
}

std::int64_t evaluation_batch(const Plan& plan) {
  return (plan.global_batch + plan.micro_batches - 1) / plan.micro_batches;
}

ReaderOptions evaluation_reader(ReaderOptions training, const std::string& path, const Plan& plan) {
  training.path = path;
  training.training = false;
  training.batch = evaluation_batch(plan);
  training.passes.clear();
  return training;
}

void add_model_states(StateTable& states, const Model& model, const ProgramSet& programs) {
  for (const ModelState& state : model.states)
    if (!programs.tied().count(state.name))
      states.add(state.name, state.initial, StateScope::lasting,
                 programs.shard(state.name, {state.initial.dtype(), state.initial.shape()}));
}

}  // namespace weft
