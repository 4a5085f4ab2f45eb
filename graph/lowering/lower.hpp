// Lowering: from a step graph to one rank's Program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/lowering/units.hpp"
#include "graph/partition/partition.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"
#include "weft/mesh.hpp"
#include "weft/plan.hpp"
#include "weft/program.hpp"

namespace weft {

struct LoweringOptions {
  std::string role;                     ///< names the Program
  std::int64_t bucket_bytes = 4 << 20;  ///< gradient bytes an all-reduce
  std::string guard;                    ///< a fetch that is known before any state changes; empty: none
  MemorySpace arena = MemorySpace::host;
  std::optional<Mesh> mesh = std::nullopt;  ///< of the ranks that share the graph; absent: it is one rank's already
  int rank = 0;                             ///< whose share, with a mesh
  StateCutList cuts = {};                   ///< of parameters, with a mesh
  Recompute recompute = Recompute::none;    ///< what of the forward pass is made again in the backward pass
  DType compute = DType::f32;               ///< bf16, f16: what contractions read and large activations are stored as
  std::vector<std::string> without = {};    ///< passes to leave out, of those that switchable_passes names
  std::string dump = {};                    ///< the pass whose input and output are kept as text; empty: none
};

/// What a form holds. Bytes are those of all results (graph, units), of all tensors in the arena (tensors), of what
/// lives at once at most (schedule), and of the arena (program).
struct PassSize {
  std::int64_t nodes = 0;  ///< graph nodes, or kernels' source nodes
  std::int64_t units = 0;  ///< units, steps or instructions; 0 of a graph
  std::int64_t bytes = 0;
};

/// What one pass did.
struct PassRecord {
  std::string name;
  bool on = true;             ///< false: it was left out, and what stands in for it ran
  double seconds = 0;         ///< of the pass itself
  double verify_seconds = 0;  ///< of the verification after it
  PassSize before, after;
  std::string input, output;  ///< the forms before and after, where LoweringOptions::dump asked for them
};

struct Lowered {
  Program program;
  std::vector<lowering::Decision> decisions;  ///< per kernel: who took it, and who refused; windows
  std::vector<PassRecord> passes;             ///< in the order in which they ran
  Graph graph;                                ///< what there is to compute: decomposed, simplified, nothing twice
};

struct PassDescription {
  std::string name, summary;
  bool optional = false;
};

/// The passes, in order; a name may stand more than once.
std::vector<PassDescription> pass_list();
/// Names of the passes that can be left out, each once.
std::vector<std::string> switchable_passes();

/// Runs the passes over `graph`: simplifies, takes this rank's share, decomposes what the device does not claim,
/// buckets collectives, fuses, assigns layouts, schedules and plans memory; each form is verified. Pure but for the
/// times in the records: equal graphs, options and oracle answers give equal Programs. Throws UserError naming node and
/// refusals where the device has no kernel, and for a pass that cannot be left out.
Lowered lower(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options);

/// The passes over the step graph alone, from the first to the one called `last` (the last of that name): what a
/// pipeline is cut from, so that its segments hold the values that one Program would.
Graph lower_graph(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options,
                  std::string_view last);

}  // namespace weft
