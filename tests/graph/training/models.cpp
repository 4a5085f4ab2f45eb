#include "tests/graph/training/models.hpp"

#include "graph/ir/interpret.hpp"
#include "tests/graph/training/fixture.hpp"

namespace weft::test {

ValueId add_state(Model& model, GraphBuilder& builder, const std::string& name, Tensor initial, bool trainable) {
  const TensorType type{initial.dtype(), initial.shape()};
  model.states.push_back({name, std::move(initial), trainable, "test"});
  return builder.input(name, InputRole::state, type);
}

Model gradient_is_feed() {
  Model model;
  GraphBuilder b;
  const ValueId w = add_state(model, b, "w", noise({2, 3}, 1));
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {2, 3}});
  b.output("loss", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(w, x), {0, 1}));
  model.forward = std::move(b).take();
  return model;
}

Model mlp(std::int64_t samples) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {samples, 6}});
  const ValueId w1 = add_state(model, b, "w1", noise({6, 5}, 20)), b1 = add_state(model, b, "b1", noise({5}, 21));
  const ValueId w2 = add_state(model, b, "w2", noise({5, 4}, 22)), b2 = add_state(model, b, "b2", noise({4}, 23));
  const ValueId hidden = b.unary(Op::relu, b.add(b.matmul(x, w1), b1));
  b.output("y", OutputRole::fetch, b.add(b.matmul(hidden, w2), b2));
  model.forward = std::move(b).take();
  return model;
}

Model conv_net(std::int64_t samples, double dropout) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {samples, 2, 6, 6}});
  const ValueId conv = add_state(model, b, "conv", noise({3, 2, 3, 3}, 30));
  const ValueId scale = add_state(model, b, "scale", noise({3}, 31, 1, 1.5));
  const ValueId bias = add_state(model, b, "bias", noise({3}, 32));
  const ValueId mean = add_state(model, b, "mean", Tensor(DType::f32, {3}), false);
  const ValueId var = add_state(model, b, "var", Tensor::full(DType::f32, {3}, 1), false);
  const ValueId w = add_state(model, b, "w", noise({27, 4}, 33, 0.5, 0)), c = add_state(model, b, "b", noise({4}, 34));
  ValueId y = b.conv(x, conv, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
  {
    const ScopedName name(b, "bn");
    y = b.one(Op::batch_norm, {y, scale, bias, mean, var},
              {{"axis", std::int64_t{1}}, {"epsilon", 1e-5}, {"momentum", 0.9}, {"groups", std::int64_t{0}}});
  }
  y = b.pool(Op::reduce_window_max, b.unary(Op::relu, y),
             {{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  y = b.reshape(y, {samples, 27});
  if (dropout > 0) {
    const ScopedName name(b, "drop");
    y = b.one(Op::dropout, {y}, {{"ratio", dropout}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}});
  }
  b.output("y", OutputRole::fetch, b.add(b.matmul(y, w), c));
  model.forward = std::move(b).take();
  return model;
}

Model free_logits(const Shape& shape) {
  Model model;
  GraphBuilder b;
  const ValueId x = add_state(model, b, "logits", noise(shape, 3, 4, 0));
  b.input("unused", InputRole::feed, {DType::f32, {shape[0]}});
  b.output("y", OutputRole::fetch, b.mul(x, b.like(x, 1)));
  model.forward = std::move(b).take();
  return model;
}

void add_initial_states(Table& table, const Model& model, const TrainingGraph& step) {
  for (const ModelState& s : model.states)
    if (step.tied.count(s.name) == 0) table.emplace(s.name, s.initial.value());
  for (const AddedState& s : step.added) table.emplace(s.name, s.initial.value());
}

Table run_pass(const Graph& graph, Table& table, Table inputs) {
  for (const auto& [name, value] : table) inputs.emplace(name, value);
  inputs.emplace("sample_offset", Tensor::scalar<std::int64_t>(0));
  Table used, fetches;
  for (const GraphInput& i : graph.inputs()) used.emplace(i.name, inputs.at(i.name));
  const Table results = interpret(graph, used);
  for (const GraphOutput& o : graph.outputs())
    (o.role == OutputRole::state ? table : fetches)[o.name] = results.at(o.name);
  return fetches;
}

JobSpec plain_job() {
  JobSpec job;
  job.optimizer.lr = 1;
  return job;
}

}  // namespace weft::test
