#include "tests/graph/pipeline/pipelined_step.hpp"

#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/import.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft::test {

ModelMaker network(const std::string& name, const std::map<std::string, std::string>& settings) {
  return [=](std::int64_t samples) {
    Model model = onnx::import_model(build_model(name, settings), {.symbols = {{"N", samples}}});
    model.forward = with_attention(model.forward);
    return model;
  };
}

Graph PassedStep::graph(Pass pass) const {
  const Model model = make(pass_samples);
  return simplify(
      build_training_step(model, job, {pass_samples, pass_samples * micro_batches, pass, {9, 3}, target_sample}).graph);
}

Table PassedStep::states() const {
  Table table;
  const Model model = make(pass_samples);
  for (const Pass pass : {Pass::first, Pass::middle, Pass::last})
    add_initial_states(
        table, model,
        build_training_step(model, job, {pass_samples, pass_samples * micro_batches, pass, {9, 3}, target_sample}));
  return table;
}

Table PassedStep::feeds(int n) const {
  Table result;
  const Graph step = graph(Pass::middle);
  for (const GraphInput& i : step.inputs()) {
    if (i.role != InputRole::feed) continue;
    const TensorType& type = step.type(i.value);
    const Shape shape = type.shape.with(0, pass_samples * micro_batches);
    if (!is_integer(type.dtype)) {
      result[i.name] = noise(shape, 50 + n).cast(type.dtype);
      continue;
    }
    Tensor whole(DType::i64, shape);
    std::int64_t k = n;
    for (std::int64_t& v : whole.mutable_values<std::int64_t>()) v = (k * 7 + k / 3) % classes, ++k;
    result[i.name] = whole.cast(type.dtype);
  }
  return result;
}

Table PassedStep::pass_feeds(const Table& whole, int micro_batch) const {
  Table result;
  const std::int64_t first = std::max(micro_batch, 0) * pass_samples;
  for (const auto& [name, value] : whole) result[name] = rows(value, first, pass_samples);
  result["sample_offset"] = Tensor::scalar<std::int64_t>(first);
  return result;
}

Table PassedStep::run(Table& states, const Table& feeds) const {
  Table fetches;
  for (int j = 0; j < micro_batches; ++j) {
    const Pass pass = micro_batches == 1       ? Pass::only
                      : j == 0                 ? Pass::first
                      : j == micro_batches - 1 ? Pass::last
                                               : Pass::middle;
    fetches = run_pass(graph(pass), states, pass_feeds(feeds, j));
  }
  return fetches;
}

PipelinedStep::PipelinedStep(const PassedStep& step, Mesh mesh, int chunks, StateCutList cuts)
    : step_(step), inner_(without_pipeline(mesh)) {
  const Graph pass = step.graph(Pass::middle), last = step.graph(Pass::last);
  const PipelineShape shape{mesh.axis_size(kPipelineAxis), chunks, static_cast<int>(step.micro_batches)};
  stage_cut_ = choose_stages(pass, {shape.ranks, shape.chunks, shape.micro_batches});
  placements_ = state_placements(last, inner_, cuts);
  const StateCutList settled = settled_cuts(inner_, placements_);
  const auto local = [&](const Graph& graph, int rank) {
    const auto primitive = [](const Node& n) { return is_pointwise(n.op) || is_attention(n.op); };
    return simplify(decompose(partition(graph, inner_, rank, settled), primitive));
  };
  for (int r = 0; r < inner_.ranks(); ++r)
    pipelines_.push_back(make_pipeline(local(pass, r), local(last, r), stage_cut_, shape));
}

Tensor PipelinedStep::part(int inner_rank, const std::string& name, const Tensor& whole) const {
  const auto placement = placements_.find(name);
  return placement == placements_.end() ? whole : part_of(whole, placement->second, inner_.coordinates(inner_rank));
}

std::vector<std::vector<Table>> PipelinedStep::initial_states(const Table& whole) const {
  std::vector<std::vector<Table>> result;
  for (int r = 0; r < inner_.ranks(); ++r) {
    auto& ranks = result.emplace_back(pipelines_.front().scripts.size());
    for (const auto& [state, holders] : pipelines_.front().held)
      for (const int c : holders) ranks[static_cast<std::size_t>(c)][state] = part(r, state, whole.at(state));
  }
  return result;
}

std::vector<std::vector<Table>> PipelinedStep::run(std::vector<std::vector<Table>>& states, const Table& feeds,
                                                   Delivery delivery, bool guarded) const {
  const auto of_rank = [&](int r, int micro_batch) {
    Table table = step_.pass_feeds(feeds, micro_batch);
    const SampleRange range = rank_samples(step_.pass_samples, inner_, r);
    for (auto& [name, value] : table)
      if (value.shape().rank() > 0) value = rows(value, range.first, range.count);
    table[kRankSampleOffset] = Tensor::scalar(range.first);
    for (std::size_t a = 0; a < inner_.axes.size(); ++a)
      table[coordinate_input(inner_.axes[a].name)] = Tensor::scalar<std::int64_t>(inner_.coordinates(r)[a]);
    return table;
  };
  return interpret_pipeline({inner_, pipelines_, states, of_rank, delivery}, guarded);
}

}  // namespace weft::test
