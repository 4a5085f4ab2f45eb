// Which states of a job are cut over the axes of its mesh: by the job's hints (parallel.split), and where it has none
// by cost.
#pragma once

#include <string>
#include <vector>

#include "graph/partition/partition.hpp"
#include "graph/training/training_step.hpp"
#include "weft/job.hpp"

namespace weft {

struct CutChoice {
  StateCutList cuts;   ///< of every state that was asked about, along every axis that cuts states
  std::string remark;  ///< what the user should know of the choice; "": nothing
};

/// The hints as cuts along "tensor" of the states that hold what they name. Throws UserError for a pattern that matches
/// no state of the model, and for a dimension that is not there or cannot be cut so, with what could.
StateCutList hinted_cuts(const std::vector<SplitHint>& hints, const Model& model,
                         const std::map<std::string, std::string>& tied, const Mesh& mesh);

/// Chooses cuts of the states of `step` around those that are `fixed`. Where cutting costs more than it gains they are
/// cut all the same, so that the ranks that the job asks for share the memory. A function of its arguments: ranks
/// choose alike.
CutChoice choose_state_cuts(const Graph& step, const Mesh& mesh, const StateCutList& fixed);

/// `cuts` with those of all states of `step` that it does not name, which follow from them.
StateCutList settled_with(const Graph& step, const Mesh& mesh, const StateCutList& cuts);

/// `cuts`, and those of `others` for states and axes that it does not name; by state.
StateCutList merged(StateCutList cuts, const StateCutList& others);

/// "states in parts over ranks: 12 along tensor" for people; "" where no axis cuts states.
std::string summary_of(const StateCutList& cuts);

}  // namespace weft
