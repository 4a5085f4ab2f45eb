// Steps of several passes: of one rank, as the oracle, and as pipelines over a mesh.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/pipeline/interpret_pipeline.hpp"
#include "graph/training/training_step.hpp"
#include "tests/graph/partition/lockstep.hpp"

namespace weft::test {

/// The model for so many samples: the same states whatever their number.
using ModelMaker = std::function<Model(std::int64_t samples)>;

/// A model and a job whose steps are passes of equal size.
struct PassedStep {
  ModelMaker make;
  JobSpec job;
  std::int64_t pass_samples = 2, micro_batches = 2;
  std::optional<Shape> target_sample = Shape{};
  std::int64_t classes = 4;

  std::function<Graph(const Graph&)> rewrite = {};  ///< of graphs, where set

  Graph graph(Pass pass) const;  ///< simplified
  Table states() const;          ///< before the first step
  /// What a whole step of number `n` reads.
  Table feeds(int n) const;
  /// Feeds and scalars of one of its passes.
  Table pass_feeds(const Table& whole, int micro_batch) const;
  /// One step on one rank: changes `states`, returns the fetches.
  Table run(Table& states, const Table& feeds) const;
};

/// A built-in network; attention is recognised.
ModelMaker network(const std::string& name, const std::map<std::string, std::string>& settings);

/// The same steps over a mesh with the axis "pipeline", interpreted.
class PipelinedStep {
 public:
  PipelinedStep(const PassedStep& step, Mesh mesh, int chunks, StateCutList cuts = {});

  const std::vector<Pipeline>& pipelines() const { return pipelines_; }
  const StageCut& stage_cut() const { return stage_cut_; }
  /// By rank of the mesh without the axis, and coordinate along it.
  std::vector<std::vector<Table>> initial_states(const Table& whole) const;
  std::vector<std::vector<Table>> run(std::vector<std::vector<Table>>& states, const Table& feeds, Delivery delivery,
                                      bool guarded = true) const;
  /// What a rank holds of a state of one rank's step.
  Tensor part(int inner_rank, const std::string& name, const Tensor& whole) const;
  const Mesh& inner() const { return inner_; }

 private:
  PassedStep step_;
  Mesh inner_;
  StageCut stage_cut_;
  std::map<std::string, Placement> placements_;
  std::vector<Pipeline> pipelines_;
};

/// Runs several steps, delivering messages early and late: where fetches on any rank or lasting states are further from
/// one rank's than `tolerance`, scaled (0: bit for bit), or "".
std::string first_difference(const PassedStep& step, const Mesh& mesh, int chunks, double tolerance,
                             const StateCutList& cuts = {}, int steps = 2);

}  // namespace weft::test
