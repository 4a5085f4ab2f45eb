// Compiling with the parts that training and prediction use.
#include "src/compile/compilation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>

#include "graph/ir/passes/attention.hpp"
#include "graph/onnx/import.hpp"
#include "graph/training/forward.hpp"
#include "src/executor/executor.hpp"
#include "src/job/job_file.hpp"
#include "src/train/evaluator.hpp"
#include "src/train/job_inputs.hpp"
#include "src/train/job_shapes.hpp"
#include "src/train/resolve_plan.hpp"
#include "src/train/step_compiler.hpp"
#include "src/train/timed_oracle.hpp"
#include "weft/communicator.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool is_open(const onnx::DeclaredDimension& dimension) { return !dimension.symbol.empty(); }

/// The whole shape of an input that leaves nothing open, with another number of samples.
Shape resized(const onnx::DeclaredInput& input, std::int64_t samples) {
  Dims extents(input.dimensions.size(), samples);
  for (std::size_t d = 1; d < extents.size(); ++d) extents[d] = input.dimensions[d].extent;
  return Shape(extents);
}

/// Extents for all open dimensions: the first of every input is the samples.
onnx::ImportOptions bind_sizes(const onnx::ModelFile& file, const ModelSizes& sizes) {
  onnx::ImportOptions options;
  std::set<std::string> open;
  for (const onnx::DeclaredInput& input : onnx::declared_inputs(file)) {
    if (input.dimensions.empty()) continue;
    for (const onnx::DeclaredDimension& dimension : input.dimensions)
      if (is_open(dimension)) open.insert(dimension.symbol);
    if (is_open(input.dimensions[0]))
      options.symbols[input.dimensions[0].symbol] = std::max<std::int64_t>(sizes.batch, 1);
    else if (sizes.batch > 0 && std::none_of(input.dimensions.begin(), input.dimensions.end(), is_open))
      options.shapes[input.name] = resized(input, sizes.batch);
  }
  for (const auto& [name, extent] : sizes.dimensions) {
    if (!open.count(name))
      throw UserError(fmt::format("--dim {}={}: {} has no open dimension of that name; it has {}", name, extent,
                                  file.path(), open.empty() ? "none" : fmt::format("{}", fmt::join(open, ", "))));
    options.symbols[name] = extent;
  }
  std::vector<std::string> unbound;
  for (const std::string& symbol : open)
    if (!options.symbols.count(symbol)) unbound.push_back(symbol);
  if (!unbound.empty())
    throw UserError(fmt::format("{}: dimensions are open: {}. Give each an extent, as in --dim {}=128", file.path(),
                                fmt::join(unbound, ", "), unbound.front()));
  return options;
}

/// As executors do, and lets go of them: those that are generated stay in the cache, and so does what tuning found.
void make_kernels(Compilation& compilation, Device& device, PhaseTimes& times, double tune_seconds) {
  if (tune_seconds > 0) {
    const auto phase = times.enter("tuning");
    std::vector<KernelUse> uses;
    for (const CompiledProgram& c : compilation.programs)
      if (c.lowered.program.role.starts_with("train"))
        for (KernelUse& use : kernel_uses(c.lowered.program)) uses.push_back(std::move(use));
    compilation.tuned = device.tune(uses, tune_seconds);
  }
  const auto phase = times.enter("kernels");
  KernelCache kernels(device);
  for (const CompiledProgram& c : compilation.programs) kernels.get(c.lowered.program.kernels);
}

}  // namespace

Compilation compile_model(const std::string& path, const ModelSizes& sizes, Device& device, const PassWishes& wishes) {
  const auto start = std::chrono::steady_clock::now();
  PhaseTimes times(seconds_since_process_start());
  const Model model = [&] {
    const auto phase = times.enter("import");
    const onnx::ModelFile file = onnx::load_model(path);
    return onnx::import_model(file, bind_sizes(file, sizes));
  }();
  Compilation result;
  result.source = path;
  result.device = device.target().str();
  LoweringOptions options;
  options.role = "predict";
  options.without = wishes.without;
  options.dump = wishes.dump;
  for (const GraphInput& input : model.forward.inputs()) {
    const Shape& shape = model.forward.type(input.value).shape;
    if (input.role != InputRole::feed || shape.rank() == 0) continue;
    options.role = fmt::format("predict {}", shape[0]);
    break;
  }
  Graph forward = inference_graph(model.forward);
  if (std::find(wishes.without.begin(), wishes.without.end(), "attention") == wishes.without.end()) {
    const auto phase = times.enter("passes");
    forward = with_attention(forward);
  }
  Lowered lowered = [&] {
    const auto phase = times.enter("passes");
    return lower(forward, TimedOracle(device.oracle(), &times), options);
  }();
  result.programs.push_back({std::move(lowered), std::move(forward)});
  if (wishes.kernels) make_kernels(result, device, times, 0);
  result.phases = times.times();
  result.seconds = seconds_since(start);
  return result;
}

Compilation compile_job(const std::string& path, const JobSpec& given, int ranks, Device& device,
                        const PassWishes& wishes) {
  const auto start = std::chrono::steady_clock::now();
  PhaseTimes times(seconds_since_process_start());
  const JobSpec job = with_absolute_paths(given);
  const auto world = make_single_communicator();
  const JobModel model = [&] {
    const auto phase = times.enter("model file");
    return open_model(*world, job);
  }();
  const JobData data = [&] {
    const auto phase = times.enter("data");
    return open_data(*world, job, model.file, job.data.train);
  }();
  const RunLength length = run_length(job, data.description);
  StepCompiler compiler(model.file, job, data.shapes, length, device.oracle());
  compiler.keep_dumps_of(wishes.dump);
  compiler.note_times(&times);
  Compilation result;
  result.source = path;
  result.model = given.model;
  result.device = device.target().str();
  result.plan = resolve_plan(job, ranks, compiler, device.target().memory_bytes / ranks);

  std::vector<std::int64_t> sizes = batch_sizes(data.samples, job.batch);
  if (sizes.size() > 1 && length.total_steps < length.steps_per_epoch) sizes.pop_back();  // no tail is reached
  std::set<std::tuple<std::int64_t, std::int64_t, Pass>> seen;
  for (const std::int64_t size : sizes)
    for (const PassSpec& pass : compiler.passes(size, *result.plan)) {
      if (!seen.insert({size, pass.samples, pass.kind}).second) continue;
      TrainingProgram program = compiler.training(pass, *result.plan, 0);
      result.programs.push_back({std::move(program.lowered), std::move(program.whole)});
    }
  if (!job.data.eval.empty()) {
    const JobData evaluated = open_data(*world, job, model.file, job.data.eval);
    for (const std::int64_t size : batch_sizes(evaluated.samples, evaluation_batch(*result.plan))) {
      EvaluationProgram program = compiler.evaluation(size, *result.plan, 0);
      result.programs.push_back({std::move(program.lowered), std::move(program.whole)});
    }
  }
  if (wishes.kernels) make_kernels(result, device, times, job.compile.tune);
  result.phases = times.times();
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace weft
