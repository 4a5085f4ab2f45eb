// Which states of a model are trained, and which share one tensor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/job.hpp"

namespace weft {

struct Parameters {
  std::vector<std::string> trained;         ///< state names that the optimiser updates, in the model's order
  std::map<std::string, std::string> tied;  ///< state name -> the state that holds its value (another name)

  /// The state that holds `name`'s value: itself unless tied.
  const std::string& holder(const std::string& name) const;
};

/// The model's own verdict (ModelState::trainable), extended by `job.train`, restricted by `job.freeze` (which wins).
/// Each entry of `job.tie` is one group: a pattern, or several separated by commas; its first match in the model's
/// order holds the value of all. A group is frozen where one member is named by `freeze`. `statistics` are states that
/// batch normalisation updates: never trained.
/// Throws UserError for patterns that match nothing, `train` patterns that match only integers, and ties between
/// tensors of different types or of fewer than two names.
Parameters choose_parameters(const Model& model, const JobSpec& job, const std::vector<std::string>& statistics);

}  // namespace weft
