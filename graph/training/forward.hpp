// A model's forward graph inside another graph, in training or in inference form.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "weft/graph.hpp"

namespace weft {

/// A batch normalisation that normalises with the batch's own statistics, and therefore updates its running ones.
struct BatchNormSite {
  std::string name;                        ///< of the node
  std::string mean_state, variance_state;  ///< running statistics
  double momentum = 0;                     ///< fraction of the old running value that is kept
  std::int64_t groups = 1;                 ///< in this pass
  std::int64_t group_elements = 1;         ///< values of one channel in one group
  ValueId mean = kNone, variance = kNone;  ///< [groups, channels], biased
};

/// Random numbers of a pass: i64 scalars.
struct RandomInputs {
  ValueId seed = kNone, step = kNone, sample_offset = kNone;
};

struct TrainingForm {
  std::int64_t samples = 0;                          ///< of the pass
  std::int64_t batch_norm_group = 1;                 ///< samples; must divide `samples`
  const std::vector<std::string>* freeze = nullptr;  ///< batch norms whose states match stay in inference form
  RandomInputs random;
  /// The same graph bound to `resized_samples` samples: tells where samples lie. Null: not known.
  const Graph* resized = nullptr;
  std::int64_t resized_samples = 0;
};

struct ForwardValues {
  std::vector<ValueId> outputs;            ///< in the order of the model's outputs
  std::vector<BatchNormSite> batch_norms;  ///< empty in inference form
};

/// Whether a node normalises with statistics of the batch when trained (an inference-form batch_norm that `freeze` does
/// not name).
bool trains_statistics(const Graph& forward, const Node& node, const std::vector<std::string>& freeze);

/// The states that such nodes update.
std::vector<std::string> trained_statistics(const Graph& forward, const std::vector<std::string>& freeze);

/// Whether the graph draws random numbers when trained.
bool has_dropout(const Graph& forward);

/// Appends `forward` with `arguments` (its inputs, in order); batch_norm becomes statistics of groups of the batch,
/// dropout active. Throws UserError where either sits inside the body of an `if` or `while`, or where running
/// statistics are no states.
ForwardValues append_training_forward(GraphBuilder& builder, const Graph& forward,
                                      const std::vector<ValueId>& arguments, const TrainingForm& form);

/// Appends `forward` for evaluation: batch_norm as scale and shift by running statistics, dropout as identity.
ForwardValues append_inference_forward(GraphBuilder& builder, const Graph& forward,
                                       const std::vector<ValueId>& arguments);

/// A model's forward graph for inference by itself: the same inputs and outputs, in primitives where import left
/// inference forms.
Graph inference_graph(const Graph& forward);

}  // namespace weft
