// Building steps for arrangements.
#include "src/launch/job_programs.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "graph/onnx/file_io.hpp"
#include "src/data/data_file.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "src/train/job_inputs.hpp"
#include "src/train/resolve_plan.hpp"
#include "weft/error.hpp"

namespace weft {

JobPrograms::JobPrograms(const JobSpec& job, std::int64_t node_memory)
    : job_(with_absolute_paths(job)), node_memory_(node_memory) {
  model_ = std::make_unique<onnx::ModelFile>(onnx::load_model(job_.model));
  const auto data = DataFile(job_.data.train).describe();
  length_ = run_length(job_, data);
  shapes_ = sample_shapes(*model_, job_, data);
  step_samples_ = std::min(job_.batch, data.samples);
  data_bytes_ = data.bytes;
}

RunWork JobPrograms::work(const Alternative& alternative) const {
  RunWork work{length_.total_steps, length_.steps_per_epoch, static_cast<double>(data_bytes_), true, 0, {}};
  // Beside what the ranks hold, a node's memory keeps what was read, in the reader or in the page cache.
  const auto held = (alternative.prediction.memory_bytes() + kProcessBytes) * alternative.arrangement.ranks_per_node;
  work.keeps_data = node_memory_ == 0 || data_bytes_ + held <= node_memory_;
  work.checkpoint_bytes = alternative.checkpoint_bytes;
  work.checkpoint = job_.checkpoint;
  return work;
}

JobPrograms::~JobPrograms() = default;

Device& JobPrograms::device(int threads) {
  auto& device = devices_[threads];
  if (!device) device = make_device(job_.device, {1, threads}, job_.deterministic, job_.math == "fast");
  return *device;
}

BuiltStep JobPrograms::build(const Arrangement& arrangement) {
  const int ranks = arrangement.ranks();
  const int shares = unsplit_plan(job_, ranks).mesh.axis_size("data");
  if (step_samples_ < shares)
    throw UserError(
        fmt::format("batch: a step of {} samples leaves some of {} ranks without any", step_samples_, shares));
  const auto& oracle = device(arrangement.threads).oracle();
  StepCompiler compiler(*model_, job_, shapes_, length_, oracle);
  BuiltStep step;
  step.target = oracle.target().str();
  const auto memory = node_memory_ > 0 ? node_memory_ : oracle.target().memory_bytes;
  step.plan = resolve_plan(job_, ranks, compiler, memory / arrangement.ranks_per_node);
  step.plan.threads = arrangement.threads;
  std::map<std::pair<std::int64_t, Pass>, int> known;  // equal passes are one Program
  std::map<std::string, std::int64_t> states;          // whole, as checkpoints hold them
  for (const auto& pass : compiler.passes(step_samples_, step.plan)) {
    const auto [at, fresh] = known.emplace(std::pair(pass.samples, pass.kind), static_cast<int>(step.programs.size()));
    step.passes.push_back(at->second);
    if (!fresh) continue;
    TrainingProgram program = compiler.training(pass, step.plan, 0);
    step.programs.push_back(std::move(program.lowered.program));
    for (const GraphInput& i : program.whole.inputs()) {
      const TensorType& type = program.whole.type(i.value);
      if (i.role == InputRole::state && !i.name.starts_with("accumulate/"))
        states[i.name] = type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
    }
  }
  for (const auto& [name, bytes] : states) step.checkpoint_bytes += static_cast<double>(bytes);
  return step;
}

void JobPrograms::check_data(const Plan& plan) {
  StepCompiler compiler(*model_, job_, shapes_, length_, device(plan.threads).oracle());
  const auto options = reader_options(job_, compiler, job_.data.train, step_samples_, {}, 0);
  BatchReader training(options);
  if (!job_.data.eval.empty()) BatchReader evaluation(evaluation_reader(options, job_.data.eval, plan));
}

}  // namespace weft
