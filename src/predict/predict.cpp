// Passes over the samples of a file.
#include "src/predict/predict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>

#include "graph/ir/passes/attention.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/onnx/import.hpp"
#include "graph/training/forward.hpp"
#include "src/data/sample_transform.hpp"
#include "src/executor/executor.hpp"
#include "src/files/output_path.hpp"
#include "src/predict/array_writer.hpp"
#include "src/predict/model_inputs.hpp"
#include "src/run/progress.hpp"
#include "src/train/bind_inputs.hpp"
#include "weft/error.hpp"
#include "weft/state.hpp"

namespace weft {
namespace {

constexpr std::int64_t kDefaultBatch = 128;

std::int64_t rows_of(const Shape& shape) { return shape.rank() == 0 ? 1 : shape[0]; }

Dims sample_of(const Shape& shape) { return Dims(shape.begin() + std::min(1, shape.rank()), shape.end()); }

Tensor read_whole(const ModelInput& input) {
  Tensor value(input.info().dtype, input.info().shape);
  input.file->read_rows(input.array, 0, rows_of(value.shape()), {value.mutable_data(), value.bytes()});
  return value;
}

/// One Program: so many samples, or everything.
struct Compiled {
  std::int64_t samples = 0;
  Model model;
  std::unique_ptr<Executor> executor;
  std::vector<ArrayInfo> outputs;
};

class Prediction {
 public:
  Prediction(const PredictRequest& request, const PredictServices& services)
      : request_(request),
        services_(services),
        file_(onnx::load_model(request.model)),
        inputs_(file_, named_files(request.inputs, onnx::input_names(file_), "input", request.model), request.mapped),
        outputs_(named_files(request.outputs, onnx::output_names(file_), "output", request.model)) {
    // Before any work.
    std::vector<std::string> sources = {request.model};
    for (const ModelInput& input : inputs_.inputs()) sources.push_back(input.file->path());
    for (NamedFile& output : outputs_) {
      array_format(output.path);
      output.path = output_path(output.path, sources);
    }
  }

  PredictResult run();

 private:
  void choose_passes();
  void refuse_split(const std::string& why) const;
  onnx::ImportOptions options(std::int64_t samples) const;
  Compiled import(std::int64_t samples);
  void check_memory(const Program& program) const;
  void compile();
  void open_writers();
  void pass(const Compiled& compiled, std::int64_t first);

  const PredictRequest& request_;
  PredictServices services_;
  onnx::ModelFile file_;
  ModelInputs inputs_;
  std::vector<NamedFile> outputs_;

  JobSpec unmarked_;    ///< neither trains nor freezes by pattern
  bool whole_ = false;  ///< everything in one pass, with the arrays' own shapes
  std::int64_t samples_ = 0, batch_ = 0;
  std::map<std::string, Tensor> constants_;  ///< inputs whose values decide shapes
  std::unique_ptr<StateTable> states_;
  std::unique_ptr<KernelCache> kernels_;
  std::unique_ptr<ArenaPool> arena_;
  Compiled full_, tail_;  ///< tail_.samples 0: there is none
  std::map<std::string, SampleTransform> transforms_;
  std::map<std::string, Tensor> feeds_;

  struct Target {
    std::size_t writer = 0, array = 0;
    std::string output;
  };
  std::vector<Target> targets_;
  std::vector<std::unique_ptr<ArrayWriter>> writers_;
  PredictResult result_;
};

void Prediction::refuse_split(const std::string& why) const {
  if (request_.batch > 0)
    throw UserError(fmt::format("--batch {}: {} cannot be cut into samples: {}", request_.batch, request_.model, why));
}

void Prediction::choose_passes() {
  whole_ = true;
  std::vector<std::string> needed = onnx::required_constants(file_, options(0));
  // Each round can only uncover needs that the last one hid.
  for (std::size_t round = 0; round <= inputs_.inputs().size() && !needed.empty(); ++round) {
    for (const ModelInput& input : inputs_.inputs())
      if (std::find(needed.begin(), needed.end(), input.declared.name) != needed.end())
        constants_[input.declared.name] = read_whole(input);
    needed = onnx::required_constants(file_, options(0));
  }
  bool exact = true, scalar = false;
  std::int64_t fixed = 0;
  for (const ModelInput& input : inputs_.inputs()) {
    const Shape& shape = input.info().shape;
    const auto& declared = input.declared.dimensions;
    scalar = scalar || declared.empty() || shape.rank() == 0;
    exact = exact && declared.size() == static_cast<std::size_t>(shape.rank());
    for (std::size_t d = 0; exact && d < declared.size(); ++d)
      exact = declared[d].symbol.empty() && declared[d].extent == shape[static_cast<int>(d)];
    if (!declared.empty() && declared[0].symbol.empty()) fixed = declared[0].extent;
  }
  if (!constants_.empty()) return refuse_split("the values of '" + constants_.begin()->first + "' decide its shapes");
  if (inputs_.inputs().empty()) return refuse_split("it has no inputs");
  if (scalar) return refuse_split("an input is a scalar");
  if (exact && request_.batch == 0) return;
  const ModelInput& first = inputs_.inputs().front();
  samples_ = first.info().shape[0];
  for (const ModelInput& input : inputs_.inputs())
    if (input.info().shape[0] != samples_)
      throw UserError(fmt::format(
          "inputs disagree on the number of samples, their first dimension: '{}' reads {} of {} and '{}' {} of {}",
          first.declared.name, first.info().str(), first.file->path(), input.declared.name, input.info().str(),
          input.file->path()));
  if (samples_ == 0) throw UserError(fmt::format("{}: {} holds no samples", first.file->path(), first.info().str()));
  whole_ = false;
  batch_ = std::min(samples_, request_.batch > 0 ? request_.batch : fixed > 0 ? fixed : kDefaultBatch);
}

onnx::ImportOptions Prediction::options(std::int64_t samples) const {
  if (whole_) {
    onnx::ImportOptions result;
    for (const ModelInput& input : inputs_.inputs()) result.shapes[input.declared.name] = input.info().shape;
    result.constants = constants_;
    return result;
  }
  SampleShapes shapes;
  for (const ModelInput& input : inputs_.inputs()) {
    Dims sample = sample_of(input.info().shape);
    if (sample.size() == 3 && request_.data.crop > 0) sample[1] = sample[2] = request_.data.crop;
    shapes.inputs[input.declared.name] = Shape(sample);
  }
  return bind_inputs(file_, unmarked_, shapes, samples);
}

Compiled Prediction::import(std::int64_t samples) {
  Compiled compiled{samples, onnx::import_model(file_, options(samples)), nullptr, {}};
  const Graph& forward = compiled.model.forward;
  for (const std::string& name : onnx::output_names(file_)) {
    const TensorType& type = forward.type(forward.find_output(name));
    compiled.outputs.push_back({name, type.dtype, type.shape});
    if (!whole_ && samples < samples_ && (type.shape.rank() == 0 || type.shape[0] != samples))
      throw UserError(fmt::format(
          "{}: output '{}' is {} for {} samples, so that passes cannot be put together: its first dimension is not the "
          "samples. Give --batch {} to compute all in one pass",
          request_.model, name, type.str(), samples, samples_));
  }
  return compiled;
}

/// Before any is taken: a model may ask for terabytes.
void Prediction::check_memory(const Program& program) const {
  const double available = static_cast<double>(services_.device.target().memory_bytes);
  double needed = 0;
  for (const std::int64_t bytes : program.arena_bytes) needed += static_cast<double>(bytes);
  for (const Buffer& buffer : program.buffers)
    if (buffer.kind != BufferKind::arena) needed += static_cast<double>(buffer.bytes);
  if (available > 0 && needed > available)
    throw UserError(
        fmt::format("{}: needs {:.1f} MiB of memory{}, {:.1f} MiB are available. Use fewer samples a pass (--batch) or "
                    "a smaller model",
                    request_.model, needed / 1048576, whole_ ? "" : fmt::format(" for {} samples a pass", batch_),
                    available / 1048576));
}

void Prediction::compile() {
  full_ = import(batch_);
  if (!whole_ && samples_ % batch_ != 0) tail_ = import(samples_ % batch_);
  states_ = std::make_unique<StateTable>(services_.device);
  for (const ModelState& state : full_.model.states) states_->add(state.name, state.initial);
  kernels_ = std::make_unique<KernelCache>(services_.device);
  arena_ = std::make_unique<ArenaPool>(services_.device);
  std::vector<std::pair<Compiled*, Program>> programs;
  for (Compiled* c : {&full_, &tail_}) {
    if (c == &tail_ && tail_.samples == 0) continue;
    LoweringOptions lowering;
    lowering.role = whole_ ? "predict" : fmt::format("predict {}", c->samples);
    lowering.without = request_.without;
    Graph forward = inference_graph(c->model.forward);
    if (std::find(lowering.without.begin(), lowering.without.end(), "attention") == lowering.without.end())
      forward = with_attention(forward);
    programs.emplace_back(c, lower(forward, services_.device.oracle(), lowering).program);
    check_memory(programs.back().second);
    for (const MemorySpace space : {MemorySpace::host, MemorySpace::pinned, MemorySpace::device})
      arena_->reserve(programs.back().second.arena_bytes[static_cast<int>(space)], space);
  }
  for (auto& [c, program] : programs)
    c->executor =
        std::make_unique<Executor>(std::move(program), services_.device, *states_, *kernels_, *arena_, nullptr);

  const Graph& forward = full_.model.forward;
  for (const ModelInput& input : inputs_.inputs()) {
    const std::string& name = input.declared.name;
    if (constants_.count(name)) continue;
    const TensorType& type = forward.type(forward.find_input(name));
    FeedTransform feed;
    feed.feed = name;
    feed.dataset = input.info().name;
    feed.file = input.file->path();
    feed.stored = input.info().dtype;
    feed.stored_sample = sample_of(input.info().shape);
    feed.wanted = type.dtype;
    feed.wanted_sample = sample_of(type.shape);
    try {
      transforms_.emplace(name, SampleTransform(std::move(feed), request_.data));
    } catch (UserError& e) {
      e.add_context(fmt::format("input '{}' of {} ({}); --map {}=ARRAY reads another array", name, request_.model,
                                type.str(), name));
      throw;
    }
  }
}

void Prediction::open_writers() {
  // Outputs of one file share a writer.
  std::map<std::string, std::vector<std::size_t>> by_path;
  for (std::size_t o = 0; o < full_.outputs.size(); ++o) {
    const auto find = [&](const std::string& name) {
      return std::find_if(outputs_.begin(), outputs_.end(), [&](const NamedFile& f) { return f.name == name; });
    };
    auto file = find(full_.outputs[o].name);
    if (file == outputs_.end()) file = find("");
    if (file != outputs_.end()) by_path[file->path].push_back(o);
  }
  for (const auto& [path, chosen] : by_path) {
    std::vector<ArrayInfo> arrays;
    for (const std::size_t o : chosen) {
      arrays.push_back(full_.outputs[o]);
      if (!whole_ && batch_ < samples_) arrays.back().shape = arrays.back().shape.with(0, samples_);
      result_.outputs.push_back({path, arrays.back()});
    }
    writers_.push_back(make_array_writer(services_.files, path, arrays));
    for (std::size_t a = 0; a < chosen.size(); ++a)
      targets_.push_back({writers_.size() - 1, a, full_.outputs[chosen[a]].name});
  }
}

void Prediction::pass(const Compiled& compiled, std::int64_t first) {
  std::vector<std::byte> rows;
  for (const ModelInput& input : inputs_.inputs()) {
    const std::string& name = input.declared.name;
    const auto transform = transforms_.find(name);
    if (transform == transforms_.end() || !compiled.executor->has_feed(name)) continue;
    const std::int64_t count = whole_ ? rows_of(input.info().shape) : compiled.samples;
    const FeedTransform& feed = transform->second.feed();
    const std::size_t row = static_cast<std::size_t>(Shape(feed.stored_sample).elements()) * size_of(feed.stored);
    rows.resize(static_cast<std::size_t>(count) * row);
    input.file->read_rows(input.array, first, count, rows);
    const Graph& forward = compiled.model.forward;
    const TensorType& type = forward.type(forward.find_input(name));
    Tensor& value = feeds_[name];
    if (value.shape() != type.shape || value.dtype() != type.dtype) value = Tensor(type.dtype, type.shape);
    std::byte* to = value.mutable_data();
    for (std::int64_t i = 0; i < count; ++i, to += transform->second.bytes())
      transform->second.apply(rows.data() + static_cast<std::size_t>(i) * row, first + i, std::nullopt, to);
    compiled.executor->bind(name, value);
  }
  compiled.executor->run(result_.passes);
  for (const Target& target : targets_) {
    const Tensor value = compiled.executor->fetch(target.output);
    writers_[target.writer]->append(target.array, {value.data(), value.bytes()});
  }
}

PredictResult Prediction::run() {
  for (const ModelInput& input : inputs_.inputs())
    result_.sources.push_back({input.declared.name, input.file->path(), input.info().name});
  choose_passes();
  compile();
  open_writers();
  result_.samples = samples_;
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  std::unique_ptr<Progress> progress;
  const std::int64_t passes = whole_ ? 1 : (samples_ + batch_ - 1) / batch_;
  if (services_.progress != nullptr && passes > 1)
    progress = std::make_unique<Progress>(*services_.progress, ProgressStyle::of_standard_error(), 0);
  for (std::int64_t done = 0; result_.passes < passes; done += batch_) {
    const Compiled& compiled = whole_ || samples_ - done >= batch_ ? full_ : tail_;
    pass(compiled, done);
    ++result_.passes;
    if (!progress) continue;
    ProgressState state;
    state.step = result_.passes;
    state.total_steps = passes;
    state.samples_per_s = static_cast<double>(std::min(done + batch_, samples_)) / seconds();
    progress->update(state);
  }
  if (progress) progress->finish();
  for (const auto& writer : writers_) writer->finish();
  result_.seconds = seconds();
  return result_;
}

}  // namespace

PredictResult predict(const PredictRequest& request, const PredictServices& services) {
  return Prediction(request, services).run();
}

}  // namespace weft
