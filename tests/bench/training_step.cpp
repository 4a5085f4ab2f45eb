// Compiling as `weft train` does.
#include "tests/bench/training_step.hpp"

#include <random>

#include "src/job/job_file.hpp"
#include "src/train/job_inputs.hpp"
#include "src/train/job_shapes.hpp"
#include "src/train/resolve_plan.hpp"

namespace weft::bench {

TrainingStep::TrainingStep(const JobSpec& given, Device& device, double tune_seconds)
    : states_(device), cache_(device), arena_(device) {
  const JobSpec job = with_absolute_paths(given);
  const auto world = make_single_communicator();
  const JobModel model = open_model(*world, job);
  const JobData data = open_data(*world, job, model.file, job.data.train);
  StepCompiler compiler(model.file, job, data.shapes, run_length(job, data.description), device.oracle());
  const Plan plan = unsplit_plan(job, 1);
  program_ = compiler.training({job.batch, 0, job.batch, Pass::only}, plan, 0);
  for (const ModelState& s : compiler.model(job.batch).states)
    if (!program_.tied.contains(s.name)) states_.add(s.name, s.initial);
  for (const AddedState& s : program_.added) states_.add(s.name, s.initial);
  const Program& program = program_.lowered.program;
  for (int space = 0; space < 3; ++space) arena_.reserve(program.arena_bytes[space], static_cast<MemorySpace>(space));
  if (tune_seconds > 0) tuned_ = device.tune(kernel_uses(program), tune_seconds);
  executor_ = std::make_unique<Executor>(program, device, states_, cache_, arena_, nullptr);
  bind_feeds();
}

/// Uniform numbers for floats; zeros, which every vocabulary and set of classes has, for integers.
void TrainingStep::bind_feeds() {
  std::mt19937 engine(7);
  std::uniform_real_distribution<float> value(-0.5f, 0.5f);
  for (const Buffer& b : executor_->program().buffers) {
    if (b.kind != BufferKind::feed) continue;
    feeds_.emplace_back(b.dtype, b.layout.shape);
    if (b.dtype == DType::f32)
      for (float& x : feeds_.back().mutable_values<float>()) x = value(engine);
    executor_->bind(b.name, feeds_.back());
  }
}

}  // namespace weft::bench
