// Micro-batches by memory, mesh by rank count.
#include "src/train/resolve_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/train/program_set.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

void refuse_what_is_not_there(const ParallelSpec& p) {
  std::vector<std::string> asked;
  if (p.tensor != 1) asked.push_back(fmt::format("parallel.tensor: {} (allowed: 1)", p.tensor));
  if (p.pipeline != 1) asked.push_back(fmt::format("parallel.pipeline: {} (allowed: 1)", p.pipeline));
  if (p.zero != 0) asked.push_back(fmt::format("parallel.zero: {} (allowed: 0)", p.zero));
  if (asked.empty()) return;
  throw UserError(
      fmt::format("{}: this version's jobs split the batch over ranks and nothing else; remove it, and ranks share the "
                  "batch (parallel: auto)",
                  fmt::join(asked, ", ")));
}

Mesh mesh_of(const JobSpec& job, int ranks) {
  const ParallelSpec& p = job.parallel;
  refuse_what_is_not_there(p);
  if (p.data != 0 && p.data != ranks)
    throw UserError(
        fmt::format("parallel: data: {} needs {} ranks, but the job runs on {}. Start it with `mpirun -n {}`, "
                    "or set parallel: auto",
                    p.data, p.data, ranks, p.data));
  return Mesh{{{"data", ranks}}};
}

}  // namespace

Plan unsplit_plan(const JobSpec& job, int ranks) {
  Plan plan;
  plan.mesh = mesh_of(job, ranks);
  plan.global_batch = job.batch;
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
                  std::optional<std::int64_t> former_passes) {
  Plan plan = unsplit_plan(job, ranks);
  if (job.micro_batch) {
    const std::int64_t per_pass = *job.micro_batch * ranks;
    plan.micro_batches = (job.batch + per_pass - 1) / per_pass;
    return plan;
  }
  // Every pass must hold at least one sample a rank, and whole groups of batch normalisation.
  const std::int64_t most =
      std::max<std::int64_t>(1, std::min(job.batch / ranks, job.batch / compiler.pass_unit(job.batch)));
  const std::int64_t first = std::min(former_passes.value_or(1), most);
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

}  // namespace weft
