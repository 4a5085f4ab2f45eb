#include "tests/graph/pipeline/pipelined_step.hpp"

#include <fmt/format.h>

#include <cmath>

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
  Graph step = simplify(
      build_training_step(model, job, {pass_samples, pass_samples * micro_batches, pass, {9, 3}, target_sample}).graph);
  return rewrite ? rewrite(step) : step;
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
      for (const int c : holders) {
        const auto share = pipelines_[static_cast<std::size_t>(r)].shares.find(state);
        ranks[static_cast<std::size_t>(c)][state] = share != pipelines_[static_cast<std::size_t>(r)].shares.end()
                                                        ? Tensor(share->second.dtype, share->second.shape)
                                                        : part(r, state, whole.at(state));
      }
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

namespace {

/// Over the largest element, at least 0.01: gradients that are 0 but for rounding are no scale.
double scaled_distance(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return HUGE_VAL;
  double worst = 0, scale = 1e-2;
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (std::isfinite(y)) scale = std::max(scale, std::abs(y));
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    worst = std::isnan(x - y) ? HUGE_VAL : std::max(worst, std::abs(x - y));
  }
  return worst / scale;
}

std::string difference_after(const PipelinedStep& pipelined, const std::vector<std::vector<Table>>& fetches,
                             const std::vector<std::vector<Table>>& states, const Table& expected, const Table& whole,
                             double tolerance) {
  for (std::size_t r = 0; r < states.size(); ++r)
    for (std::size_t c = 0; c < states[r].size(); ++c) {
      const auto differs = [&](const std::string& name, const Tensor& value, const Tensor& wanted) {
        const double distance = scaled_distance(value, wanted);
        return distance <= tolerance ? "" : fmt::format("'{}' at {}, {} is off by {}", name, r, c, distance);
      };
      for (const auto& [name, value] : expected) {
        if (fetches[r][c].count(name) == 0) return fmt::format("'{}' is not fetched at {}, {}", name, r, c);
        if (const std::string text = differs(name, fetches[r][c].at(name), value); !text.empty()) return text;
      }
      for (const auto& [name, value] : states[r][c]) {
        if (name.starts_with(kAccumulated)) continue;
        const Tensor wanted = pipelined.part(static_cast<int>(r), name, whole.at(name));
        if (const std::string text = differs(name, value, wanted); !text.empty()) return text;
      }
    }
  return "";
}

}  // namespace

std::string first_difference(const PassedStep& step, const Mesh& mesh, int chunks, double tolerance,
                             const StateCutList& cuts, int steps) {
  const PipelinedStep pipelined(step, mesh, chunks, cuts);
  for (const Delivery delivery : {Delivery::early, Delivery::late}) {
    Table whole = step.states();
    auto states = pipelined.initial_states(whole);
    for (int n = 0; n < steps; ++n) {
      const Table feeds = step.feeds(n);
      const auto fetches = pipelined.run(states, feeds, delivery, false);
      const Table expected = step.run(whole, feeds);
      const std::string text = difference_after(pipelined, fetches, states, expected, whole, tolerance);
      if (!text.empty()) return fmt::format("after step {}: {}", n, text);
    }
  }
  return "";
}

}  // namespace weft::test
