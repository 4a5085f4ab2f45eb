// A step as a pipeline over the mesh axis "pipeline": what each rank runs, in which order, and what it sends to whom.
//
// The axis is cut last, on the local graph that the other axes left: ranks that differ in their coordinate along it
// hold different nodes of that graph, and exchange values with the rank of equal other coordinates. So it never
// conflicts with placements, and no value changes: every number is made once, by the same operators as on one rank.
//
// A step is `micro_batches` passes of equal size, each forward and backward through all stages (stages.hpp), which only
// accumulate, and the update (update.hpp). All are cut into segments, each a graph that becomes a Program. A value that
// one segment makes and others read is a fetch of the one and a feed of the others, by one name, in one buffer: where
// they are of one rank it lies there until the last has read it (what a forward pass leaves for the backward pass),
// else it is sent as soon as the segment that makes it has run. Buffers have a slot for each micro-batch that is in
// flight. A state that several ranks read (a tied weight, a counter) is held by each; the one that updates it sends the
// new value.
//
// The order is static: each rank's script says when receives are posted (one segment before their value is read, so
// that transfers overlap computation), what must have arrived before a segment runs, and which sends must have left
// before their slot is written again. Messages of a pair of ranks are posted in the order in which they are sent. That
// no rank waits for ever is proved when a pipeline is made, for messages that move only while both ends are posted.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/pipeline/stages.hpp"
#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

inline constexpr const char* kPipelineAxis = "pipeline";

struct PipelineShape {
  int ranks = 1, chunks = 1;  ///< chunks: stages a rank (interleaved where above 1)
  int micro_batches = 1;      ///< of equal size; a multiple of `ranks` where chunks > 1
};

struct PipelineSegment {
  enum class Kind : std::uint8_t { forward, forward_and_backward, backward, update, result };
  Kind kind = Kind::forward;
  std::string name;  ///< "forward 0", "first backward 2", "update 1"
  int rank = 0;
  Graph graph;
};

/// A value between segments, on one rank: as feed and as fetch it has this name. Micro-batch j is in slot j mod
/// `slots`.
struct PipelineBuffer {
  std::string name;
  TensorType type;
  int slots = 1;
};

/// A message: a slot of a buffer, or a state.
struct Transfer {
  std::string name;
  int peer = 0;     ///< coordinate along the axis
  int buffer = -1;  ///< -1: the state called `name`
  int slot = 0;
  int number = 0;  ///< among all messages of a step, equal on both ends
};

/// What a rank does next. Receives and sends are indices into its script's lists.
struct PipelineAction {
  static constexpr int kNone = -1;
  int segment = kNone;               ///< of the pipeline; kNone: only messages
  int micro_batch = kNone;           ///< kNone in the update
  int posted = 0;                    ///< before it, receives [0, posted) are posted
  std::vector<int> needs;            ///< receives that must have arrived
  std::vector<int> reuses;           ///< sends that must have left, for their slot is written
  int sends_from = 0, sends_to = 0;  ///< sends started after it
  bool updates = false;              ///< a loss that is not finite ends the step before it
};

struct RankScript {
  std::vector<PipelineBuffer> buffers;
  std::vector<Transfer> receives, sends;  ///< in the order in which they are posted, and started
  std::vector<PipelineAction> actions;
  std::string guard;  ///< the buffer that holds the loss when the update of states begins
};

struct Pipeline {
  PipelineShape shape;
  std::vector<PipelineSegment> segments;
  std::vector<RankScript> scripts;  ///< by coordinate along the axis
  /// Sums between passes that the step does not have: shares of a tied weight's gradient (zero, transient).
  std::map<std::string, TensorType> shares;
  std::map<std::string, std::vector<int>> held;  ///< the coordinates that hold each state; what updates it is first
};

/// The pipeline of one rank's other coordinates (or of the unsharded step). `pass` is a Pass::middle, `last` the
/// Pass::last of the same size, both after the graph passes of lowering (graph_passes in lower.hpp), without the axis
/// "pipeline". Equal for all ranks of equal other coordinates. Throws UserError for shapes that cannot be,
/// InternalError where the passes do not fit.
/// `read_elsewhere`: coordinates that read states besides, in evaluation, and get each new value too.
using StateReaders = std::map<std::string, std::set<int>>;
Pipeline make_pipeline(const Graph& pass, const Graph& last, const StageCut& cut, const PipelineShape& shape,
                       const StateReaders& read_elsewhere = {});

/// The same stages for a graph that only reads states (an evaluation): one batch goes through all of them, and every
/// rank fetches what it makes. `graph` is a rank's share after the graph passes, `shape.micro_batches` 1. Its states
/// must be where the training pipeline holds them: readers_of it are that one's `read_elsewhere`.
Pipeline make_evaluation_pipeline(const Graph& graph, const StageCut& cut, const PipelineShape& shape);
StateReaders readers_of(const Pipeline& pipeline);

/// Each rank's buffers and script, readable.
std::string str(const Pipeline& pipeline);

/// The mesh without the axis, and a rank's place in it: what partitioning sees.
Mesh without_pipeline(const Mesh& mesh);
int rank_without_pipeline(const Mesh& mesh, int rank);
int pipeline_coordinate(const Mesh& mesh, int rank);

}  // namespace weft
