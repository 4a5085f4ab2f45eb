#include "tests/graph/partition/network_step.hpp"

#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/import.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft::test {
namespace {

Tensor whole_numbers(const Shape& shape, std::int64_t below, std::int64_t salt) {
  Tensor t(DType::i64, shape);
  std::int64_t i = salt;
  for (std::int64_t& v : t.mutable_values<std::int64_t>()) {
    v = (i * 7 + i / 3) % below;
    ++i;
  }
  return t;
}

}  // namespace

NetworkStep network_step(const std::string& name, const std::map<std::string, std::string>& settings,
                         std::int64_t batch, const Shape& target, std::int64_t classes, bool attention,
                         const std::string& optimizer, double clip_norm) {
  Model model = onnx::import_model(build_model(name, settings), {.symbols = {{"N", batch}}});
  if (attention) model.forward = with_attention(model.forward);
  JobSpec job = plain_job();
  job.batch = batch;
  std::map<std::string, double> settings_of_it{{"clip_norm", clip_norm}, {"lr", optimizer == "sgd" ? 0.1 : 0.001}};
  if (optimizer == "sgd") settings_of_it["momentum"] = 0.9;
  if (optimizer == "adamw") settings_of_it["eps"] = 1e-3;  // attention leaves key biases gradients of rounding alone
  job.optimizer = optimizer_spec(optimizer, settings_of_it);
  const TrainingGraph step = build_training_step(model, job, {batch, batch, Pass::only, {9, 3}, target});
  NetworkStep result{simplify(step.graph), {}};
  add_initial_states(result.inputs, model, step);
  for (const GraphInput& i : step.graph.inputs()) {
    const TensorType& type = step.graph.type(i.value);
    if (i.name == "sample_offset") result.inputs[i.name] = Tensor::scalar<std::int64_t>(0);
    if (i.role != InputRole::feed) continue;
    result.inputs[i.name] =
        is_integer(type.dtype) ? whole_numbers(type.shape, classes, batch) : noise(type.shape, 7).cast(type.dtype);
  }
  return result;
}

NetworkStep tiny_gpt2_step(bool attention, const std::string& optimizer, double clip_norm) {
  return network_step("gpt2",
                      {{"vocabulary", "13"},
                       {"width", "16"},
                       {"heads", "4"},
                       {"layers", "2"},
                       {"sequence", "5"},
                       {"positions", "8"},
                       {"dropout", "0.1"}},
                      4, Shape{5}, 13, attention, optimizer, clip_norm);
}

}  // namespace weft::test
