// Small models in the form that import leaves them, and a trainer that interprets their steps.
#pragma once

#include <map>
#include <string>

#include "graph/ir/builder.hpp"
#include "graph/training/training_step.hpp"

namespace weft::test {

/// Adds a state to model and builder.
ValueId add_state(Model& model, GraphBuilder& builder, const std::string& name, Tensor initial, bool trainable = true);

/// w [2, 3] and the model's own loss sum(w * x): the gradient is the feed x.
Model gradient_is_feed();
/// x [n, 6] -> relu(x w1 + b1) w2 + b2, four classes, as in the fixture's script.
Model mlp(std::int64_t samples);
/// x [n, 2, 6, 6] -> conv, batch norm, relu, max pool, affine, as in the fixture's script; dropout before the affine
/// layer where the ratio is above 0.
Model conv_net(std::int64_t samples, double dropout = 0);
/// The logits are a state, so that their gradient can be seen; feeds "unused" [samples].
Model free_logits(const Shape& shape);

using Table = std::map<std::string, Tensor>;

/// The model's and the graph's states before the first step; merges into `table` without replacing.
void add_initial_states(Table& table, const Model& model, const TrainingGraph& step);
/// Interprets one pass: feeds and scalars in `inputs`, states read from and written to `table`. Returns the fetches.
Table run_pass(const Graph& graph, Table& table, Table inputs);

/// A job with this loss (and its defaults), no schedule, sgd with lr 1.
JobSpec plain_job();

}  // namespace weft::test
