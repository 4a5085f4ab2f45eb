// Micro-batches by memory, mesh by rank count.
#include "src/train/resolve_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph/partition/zero.hpp"
#include "src/job/parallel_limits.hpp"
#include "src/train/program_set.hpp"
#include "src/train/state_cuts.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr const char* kData = "data";
constexpr const char* kTensor = "tensor";

/// Numbers of ranks that a job of so many tensor ranks runs on, about as many as there are.
std::string rank_counts_near(int ranks, int tensor) {
  const int below = ranks / tensor * tensor;
  return below == 0 ? fmt::format("`mpirun -n {}`", tensor)
                    : fmt::format("`mpirun -n {}` or `mpirun -n {}`", below, below + tensor);
}

std::vector<int> divisors(int n) {
  std::vector<int> result;
  for (int d = 1; d <= n; ++d)
    if (n % d == 0) result.push_back(d);
  return result;
}

Mesh mesh_of(const ParallelSpec& p, int ranks) {
  check_parallel(p);
  if (p.data == 0 && ranks % p.tensor != 0)
    throw UserError(
        fmt::format("parallel: tensor: {} does not divide the {} ranks that the job runs on. Start it with {}, or set "
                    "tensor to one of {}",
                    p.tensor, ranks, rank_counts_near(ranks, p.tensor), fmt::join(divisors(ranks), ", ")));
  const std::int64_t needed = std::int64_t{p.data} * p.tensor;
  if (p.data != 0 && needed != ranks)
    throw UserError(
        fmt::format("parallel: data: {}{} needs {} ranks, but the job runs on {}. Start it with `mpirun -n {}`, "
                    "or leave data out: it is what is left of the ranks",
                    p.data, p.tensor == 1 ? "" : fmt::format(" x tensor: {}", p.tensor), needed, ranks, needed));
  Mesh mesh{{{kData, ranks / p.tensor}}};
  if (p.tensor > 1) mesh.axes.push_back({kTensor, p.tensor});
  return mesh;
}

/// Of every state that any pass of any step has, along "tensor"; and along "data" as job.parallel.zero says.
CutChoice cuts_of_step(const JobSpec& job, StepCompiler& compiler, const Plan& plan, const StateCutList& former) {
  const std::int64_t samples = compiler.pass_samples_of(job.batch, plan).front();
  const StateCutList hinted =
      hinted_cuts(job.parallel.split, compiler.model(samples), compiler.tied(samples), plan.mesh);
  const bool cuts_layers = plan.mesh.axis_size(kTensor) > 1;
  if (!cuts_layers && plan.zero == 0) return {};
  CutChoice choice{former, ""};
  if (former.empty() && cuts_layers)
    choice = choose_state_cuts(compiler.step_graph({samples, 0, samples, Pass::only}).graph, plan.mesh, hinted);
  // The pass that ends a step of several has all there are: sums of the passes before it too.
  const Graph last = compiler.step_graph({samples, 0, samples, Pass::last}).graph;
  if (cuts_layers) choice.cuts = settled_with(last, plan.mesh, choice.cuts);
  if (former.empty()) choice.cuts = merged(choice.cuts, zero_cuts(last, plan.mesh, plan.zero, choice.cuts));
  return choice;
}

}  // namespace

Plan unsplit_plan(const JobSpec& job, int ranks) {
  Plan plan;
  plan.mesh = mesh_of(job.parallel, ranks);
  plan.global_batch = job.batch;
  plan.zero = job.parallel.zero;
  plan.compute = job.precision;
  plan.recompute = job.parallel.recompute == "full"        ? Recompute::full
                   : job.parallel.recompute == "selective" ? Recompute::selective
                                                           : Recompute::none;
  plan.deterministic = job.deterministic;
  plan.threads = job.threads;
  return plan;
}

std::int64_t training_memory(StepCompiler& compiler, const Plan& plan, std::int64_t step_samples) {
  ProgramMemory memory;
  std::set<std::pair<std::int64_t, Pass>> seen;
  for (const PassSpec& pass : compiler.passes(step_samples, plan)) {
    if (!seen.insert({pass.samples, pass.kind}).second) continue;
    TrainingProgram program = compiler.training(pass, plan, 0);
    memory.add(program.lowered.program);
    compiler.keep(std::move(program));
  }
  return memory.bytes();
}

Plan resolve_plan(const JobSpec& job, int ranks, StepCompiler& compiler, std::int64_t memory_bytes,
                  const FormerPlan& former, std::string* remark) {
  Plan plan = unsplit_plan(job, ranks);
  CutChoice choice = cuts_of_step(job, compiler, plan, former.cuts);
  plan.cuts = std::move(choice.cuts);
  if (remark != nullptr) *remark = std::move(choice.remark);
  const std::int64_t shares = plan.mesh.axis_size(kData);
  if (job.micro_batch) {
    const std::int64_t per_pass = *job.micro_batch * shares;
    plan.micro_batches = (job.batch + per_pass - 1) / per_pass;
    return plan;
  }
  // Every pass must hold at least one sample a rank, and whole groups of batch normalisation.
  const std::int64_t most =
      std::max<std::int64_t>(1, std::min(job.batch / shares, job.batch / compiler.pass_unit(job.batch)));
  const std::int64_t first = std::min(former.passes.value_or(1), most);
  if (memory_bytes == 0) {
    plan.micro_batches = first;
    return plan;
  }
  for (std::int64_t passes = first;; passes = std::min(passes * 2, most)) {
    plan.micro_batches = passes;
    const std::int64_t needed = training_memory(compiler, plan, job.batch);
    if (needed <= memory_bytes) return plan;
    compiler.forget_kept();
    if (passes == most)
      throw UserError(
          fmt::format("batch: a step does not fit memory: {:.1f} MiB a rank are needed with {} passes of {} "
                      "samples, {:.1f} MiB are available. Use a smaller model or batch, or more ranks",
                      static_cast<double>(needed) / 1048576.0, passes, (job.batch + passes - 1) / passes,
                      static_cast<double>(memory_bytes) / 1048576.0));
  }
}

Plan evaluation_plan(const JobSpec& job, int ranks, StepCompiler& compiler, std::int64_t samples,
                     const std::optional<Plan>& former) {
  check_parallel(job.parallel);
  JobSpec fitting = job;
  const ParallelSpec& p = job.parallel;
  if (ranks % p.tensor != 0 || (p.data != 0 && std::int64_t{p.data} * p.tensor != ranks)) fitting.parallel = {};
  Plan plan = unsplit_plan(fitting, ranks);
  const bool as_trained = former && former->mesh == plan.mesh && !former->cuts.empty();
  if (!as_trained && plan.mesh.axis_size(kTensor) == 1) return plan;
  const Graph graph = compiler.evaluation_graph(samples).graph;
  if (as_trained)
    plan.cuts = settled_with(graph, plan.mesh, former->cuts);
  else
    plan.cuts =
        choose_state_cuts(graph, plan.mesh,
                          hinted_cuts(job.parallel.split, compiler.model(samples), compiler.tied(samples), plan.mesh))
            .cuts;
  return plan;
}

}  // namespace weft
