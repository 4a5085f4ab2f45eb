// Inspections of what trainings read: models, training data, jobs; and of checkpoints.
#include <algorithm>

#include "fmt/format.h"
#include "graph/onnx/describe.hpp"
#include "src/checkpoint/load.hpp"
#include "src/cli/inspect/inspection.hpp"
#include "src/data/data_file.hpp"
#include "src/job/job_file.hpp"
#include "weft/error.hpp"

namespace weft::cli {

using Json = nlohmann::ordered_json;

Inspection inspect_data(const std::filesystem::path& path) {
  const auto description = DataFile(path.string()).verify();
  Inspection result;
  result.kind = "training data";
  result.text = description.text();
  result.details = Json::parse(description.json());
  for (const auto& dataset : description.datasets)
    if (!dataset.checksum_holds.value_or(true))
      result.problems.push_back(fmt::format(
          "dataset '{}' is damaged: its checksum does not hold; copy the file or import the data again", dataset.name));
  if (description.datasets.empty()) result.problems.emplace_back("it has no dataset of numbers");
  if (description.samples < 0 && description.datasets.size() > 1)
    result.notes.emplace_back("datasets have different numbers of samples: a job can use only some of them together");
  return result;
}

Inspection inspect_checkpoint(FileSystem& files, const std::filesystem::path& path) {
  const auto checkpoint = describe_checkpoint(files, path);
  const auto& meta = checkpoint.meta;
  const auto count = [&](StateRole role) {
    return std::count_if(checkpoint.states.begin(), checkpoint.states.end(),
                         [&](const LoadedState& state) { return state.role == role; });
  };
  static constexpr const char* kRoles[] = {"parameter", "statistic", "other"};
  Inspection result;
  result.kind = "checkpoint";
  result.text = fmt::format(
      "  step {}: {} epochs and {} batches, {} samples seen; {} bytes, written by weft {}\n"
      "  {} parameters, {} statistics, {} other states:\n",
      meta.step, meta.epoch, meta.batch_in_epoch, meta.samples_seen, checkpoint.file_bytes, meta.weft_version,
      count(StateRole::parameter), count(StateRole::statistic), count(StateRole::other));
  Json states = Json::array();
  for (const auto& state : checkpoint.states) {
    const char* role = kRoles[static_cast<int>(state.role)];
    result.text += fmt::format("    {:9} {}  {}\n", role, state.name, state.type.str());
    states.push_back({{"name", state.name},
                      {"role", role},
                      {"type", name_of(state.type.dtype)},
                      {"shape", state.type.shape.extents()}});
  }
  result.details = {{"step", meta.step},
                    {"epoch", meta.epoch},
                    {"batch_in_epoch", meta.batch_in_epoch},
                    {"samples_seen", meta.samples_seen},
                    {"seed", meta.seed},
                    {"weft_version", meta.weft_version},
                    {"bytes", checkpoint.file_bytes},
                    {"states", std::move(states)},
                    {"job", meta.job}};
  return result;
}

Inspection inspect_model(const std::filesystem::path& path) {
  static constexpr const char* kKinds[] = {"parameter", "state", "constant"};
  const auto model = onnx::describe_model(onnx::load_model(path));
  Inspection result;
  result.kind = "ONNX model";
  result.text = onnx::to_text(model);
  Json initializers = Json::array();
  for (const auto& verdict : model.initializers) {
    Json one{{"name", verdict.name},
             {"kind", kKinds[static_cast<int>(verdict.kind)]},
             {"reason", verdict.reason},
             {"type", verdict.type},
             {"shape", verdict.extents}};
    if (!verdict.copy_of.empty()) one["copy_of"] = verdict.copy_of;
    if (!verdict.tied_to.empty()) one["tied_to"] = verdict.tied_to;
    initializers.push_back(std::move(one));
  }
  const auto ports = [](const std::vector<onnx::PortDescription>& list) {
    Json all = Json::object();
    for (const auto& port : list) all[port.name] = port.type;
    return all;
  };
  const auto counted = [](const std::vector<std::pair<std::string, std::int64_t>>& list) {
    Json all = Json::object();
    for (const auto& [name, value] : list) all[name] = value;
    return all;
  };
  result.details = {{"producer", model.producer},
                    {"ir_version", model.ir_version},
                    {"opsets", counted(model.opsets)},
                    {"inputs", ports(model.inputs)},
                    {"outputs", ports(model.outputs)},
                    {"nodes", model.nodes},
                    {"operators", counted(model.operators)},
                    {"parameter_count", model.parameter_count},
                    {"initializers", std::move(initializers)},
                    {"warnings", model.warnings}};
  return result;
}

Inspection inspect_job(const std::filesystem::path& path) {
  const auto job = read_job(path);
  Inspection result;
  result.kind = "job";
  result.text = fmt::format("  '{}': model {}, training data {}, {} optimiser\n  its settings: weft job {}\n", job.name,
                            job.model, job.data.train, job.optimizer.name, path.string());
  result.details = {{"name", job.name}, {"settings", job_to_yaml(job)}};
  const auto look_for = [&](const char* what, const std::string& file) {
    if (file.empty()) return;
    std::error_code none;
    if (!std::filesystem::exists(job_path(job, file), none))
      result.notes.push_back(fmt::format("its {} {} is not there", what, job_path(job, file).string()));
  };
  look_for("model", job.model);
  look_for("training data", job.data.train);
  look_for("evaluation data", job.data.eval);
  return result;
}

}  // namespace weft::cli
