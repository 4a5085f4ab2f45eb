// Files of a case by the formula, and reading back the run's log.
#include "tests/parity/parity_case.hpp"

#include <fstream>
#include <stdexcept>

#include "graph/models/models.hpp"
#include "graph/onnx/export.hpp"
#include "graph/onnx/import.hpp"
#include "src/data/data_writer.hpp"
#include "tests/parity/formula.hpp"
#include "tests/src/cli/run_weft.hpp"

namespace weft::testing {
namespace {

using Json = nlohmann::json;

Shape batch_shape(std::int64_t samples, const Json& sample) {
  Dims dims{samples};
  for (const Json& extent : sample) dims.push_back(extent.get<std::int64_t>());
  return Shape(dims);
}

std::span<const std::byte> bytes_of(const Tensor& tensor) { return {tensor.data(), tensor.bytes()}; }

}  // namespace

ParityCase::ParityCase(const std::string& name, std::filesystem::path folder) : folder_(std::move(folder)) {
  const Json all = Json::parse(std::ifstream(WEFT_PARITY_FIXTURES));
  case_ = all.at("cases").at(name);
  steps_ = all.at("steps").get<int>();
  write_model();
  write_data("train", case_["data"]["samples"].get<std::int64_t>());
  write_data("eval", case_["data"]["eval_samples"].get<std::int64_t>());
  write_job();
}

void ParityCase::write_model() const {
  const auto fresh = build_model(case_["model"], case_["settings"].get<std::map<std::string, std::string>>());
  std::map<std::string, Tensor> weights;  // none: the model keeps its own
  if (case_.value("weights", "") == "formula")
    for (const ModelState& state : onnx::import_model(fresh, {.symbols = {{"N", 1}}}).states)
      weights[state.name] = initial_value(state.name, state.initial.shape());
  onnx::export_model(fresh, weights, folder_ / "model.onnx");
}

void ParityCase::write_data(const std::string& part, std::int64_t samples) const {
  const Json& data = case_["data"];
  const Shape shape = batch_shape(samples, data["input"]),
              target = batch_shape(samples, data.value("target", Json::array()));
  const std::string input_name = part + "/input", labels_name = part + "/labels";
  const Tensor input = data.contains("tokens")  // 0 is left out: see make_fixtures.py
                           ? integers(input_name, shape, 1, data["tokens"].get<std::uint64_t>() - 1)
                           : uniform(input_name, shape, -1, 1);
  const Tensor labels = data.contains("classes")
                            ? integers(labels_name, target, 0, data["classes"].get<std::uint64_t>())
                            : uniform(labels_name, target, 0, 1);
  DataWriter writer((folder_ / (part + ".h5")).string(), "a formula",
                    {{"input", input.dtype(), input.shape(), {}}, {"labels", labels.dtype(), labels.shape(), {}}});
  writer.append(0, bytes_of(input));
  writer.append(1, bytes_of(labels));
  writer.finish();
}

void ParityCase::write_job() const {
  Json job = case_["job"];
  job["name"] = "parity";
  job["model"] = "model.onnx";
  job["data"] = {{"train", "train.h5"}, {"eval", "eval.h5"}, {"target", "labels"}, {"shuffle", false}};
  job["steps"] = steps_;
  job["checkpoint"] = {{"every", "1000 steps"}};
  std::ofstream(folder_ / "job.yaml") << job.dump(1) << '\n';  // JSON is YAML
}

ParityCase::Log ParityCase::train(int ranks, const std::vector<std::string>& settings,
                                  const std::string& resume) const {
  std::vector<std::string> command;
  if (ranks > 1) command = {WEFT_MPIRUN, std::to_string(ranks)};
  command.insert(command.end(), {WEFT_BINARY, "train", (folder_ / "job.yaml").string(), "--resume", resume});
  for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
  const Outcome outcome = run_program(command);
  if (outcome.code != 0) throw std::runtime_error("weft train ended with an error:\n" + outcome.out + outcome.err);
  Log log;
  std::ifstream file(run_folder() / "log.jsonl");
  for (std::string line; std::getline(file, line);) {
    const Json entry = Json::parse(line);
    if (entry.value("eval", false)) {
      log.evaluation = entry.at("loss").get<double>();  // the last one is that of the final weights
    } else {
      log.loss.push_back(entry.at("loss").get<double>());
      log.lr.push_back(entry.at("lr").get<double>());
      log.skipped.push_back(entry.value("skipped", false));
    }
  }
  return log;
}

ParityCase::Log ParityCase::expected() const {
  return {case_["loss"].get<std::vector<double>>(),
          case_["lr"].get<std::vector<double>>(),
          {},
          case_["evaluation"].get<double>()};
}

ParityCase::Log ParityCase::expected(const std::string& precision) const {
  const Json& mixed = case_.at(precision);
  return {mixed.at("loss").get<std::vector<double>>(), {}, {}, mixed.at("evaluation").get<double>()};
}

}  // namespace weft::testing
