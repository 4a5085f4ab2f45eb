// Micro-batches by memory, mesh by rank count.
#include "src/train/resolve_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "src/train/program_set.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

Mesh mesh_of(const JobSpec& job, int ranks) {
  const ParallelSpec& p = job.parallel;
  if (p.tensor != 1 || p.pipeline != 1 || p.zero != 0 || p.recompute != "none")
    throw UserError(fmt::format(
        "parallel: this version splits the data axis only (tensor: 1, pipeline: 1, zero: 0, recompute: none), not "
        "tensor: {}, pipeline: {}, zero: {}, recompute: {}",
        p.tensor, p.pipeline, p.zero, p.recompute));
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
