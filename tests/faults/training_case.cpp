// Files of a small training job, and readers of what runs leave.
#include "tests/faults/training_case.hpp"

#include <fmt/format.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <thread>

#include "graph/onnx/model_writer.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/load.hpp"
#include "src/data/data_writer.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;

Tensor drawn(std::mt19937& random, const Shape& shape, float bound) {
  Tensor tensor(DType::f32, shape);
  for (float& value : tensor.mutable_values<float>())
    value = bound * (2 * static_cast<float>(random() % 1000) / 999 - 1);
  return tensor;
}

}  // namespace

void write_data(const fs::path& path, std::int64_t samples, std::int64_t classes, std::int64_t pixels) {
  const std::int64_t area = pixels * pixels;
  std::mt19937 random(7);
  std::vector<std::byte> images(static_cast<std::size_t>(samples * area));
  std::vector<std::int64_t> labels(static_cast<std::size_t>(samples));
  for (std::int64_t s = 0; s < samples; ++s) {
    const auto label = static_cast<std::int64_t>(random() % static_cast<unsigned>(classes));
    labels[static_cast<std::size_t>(s)] = label;
    for (std::int64_t p = 0; p < area; ++p)
      images[static_cast<std::size_t>(s * area + p)] =
          static_cast<std::byte>(random() % 100 + 15 * static_cast<unsigned>(label % 10));
  }
  DataWriter writer(
      path, "a test",
      {{"images", DType::u8, Shape{samples, 1, pixels, pixels}, {}}, {"labels", DType::i64, Shape{samples}, {}}});
  writer.append(0, images);
  writer.append(1, std::as_bytes(std::span(labels)));
  writer.finish();
}

void write_network(const fs::path& path, double dropout, std::int64_t classes) {
  constexpr std::int64_t kChannels = 8;
  std::mt19937 random(3);
  onnx::ModelWriter net("network");
  std::string x = net.input("input", DType::f32, {"N", 1, "H", "W"});
  x = net.node("Conv", {x, net.initializer("conv.weight", drawn(random, Shape{kChannels, 1, 3, 3}, 0.3F))}, "conv",
               {{"kernel_shape", Dims{3, 3}}, {"pads", Dims{1, 1, 1, 1}}});
  const Shape channels{kChannels};
  x = net.node("BatchNormalization",
               {x, net.initializer("norm.weight", Tensor::full(DType::f32, channels, 1)),
                net.initializer("norm.bias", Tensor::full(DType::f32, channels, 0)),
                net.initializer("norm.running_mean", Tensor::full(DType::f32, channels, 0)),
                net.initializer("norm.running_var", Tensor::full(DType::f32, channels, 1))},
               "norm", {{"epsilon", 1e-5}, {"momentum", 0.9}});
  x = net.node("Relu", {x}, "relu");
  x = net.node("GlobalAveragePool", {x}, "pool");
  x = net.node("Flatten", {x}, "flatten");
  if (dropout > 0)
    x = net.node("Dropout", {x, net.initializer("ratio", Tensor::full(DType::f32, Shape{}, dropout))}, "dropout");
  x = net.node("Gemm",
               {x, net.initializer("fc.weight", drawn(random, Shape{classes, kChannels}, 0.4F)),
                net.initializer("fc.bias", Tensor::full(DType::f32, Shape{classes}, 0))},
               "fc", {{"transB", std::int64_t{1}}}, "output");
  net.output(x, DType::f32, {"N", classes});
  onnx::write_model(std::move(net).finish(), path);
}

std::string TrainingCase::job_text() {
  return R"(name: run
model: network.onnx
data: {train: data.h5, inputs: {input: images}, target: labels, crop: 8, flip: true}
loss: cross_entropy
metrics: [accuracy]
optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5.0e-4}
schedule: {name: cosine, warmup: 3}
batch: 16
batch_norm: {group: 4}
steps: 12
seed: 5
deterministic: true
threads: 1
timeout_seconds: 20
checkpoint: {every: 1 steps, keep: 100}
)";
}

void TrainingCase::SetUp() {
  write_data(folder() / "data.h5", 88);  // five batches of 16 and one of 8
  write_network(folder() / "network.onnx", 0.25);
  write_job(job_text());
}

void TrainingCase::write_job(const std::string& yaml) const { std::ofstream(folder() / "job.yaml") << yaml; }

std::vector<std::string> TrainingCase::weft(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{WEFT_BINARY};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::vector<std::string> TrainingCase::weft(int ranks, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = weft(arguments);
  if (ranks > 1) command.insert(command.begin(), {WEFT_MPIRUN, std::to_string(ranks)});
  return command;
}

std::vector<std::string> TrainingCase::train_in_one_pass(int ranks, const std::vector<std::string>& options) {
  std::vector<std::string> command;
  if (ranks > 1) command = {WEFT_MPIRUN, std::to_string(ranks)};
  for (const char* word : {WEFT_BINARY, "train", "job.yaml"}) command.emplace_back(word);
  command.insert(command.end(), options.begin(), options.end());
  return command;
}

std::vector<std::string> TrainingCase::train(int ranks, const std::vector<std::string>& options) {
  std::vector<std::string> command = train_in_one_pass(ranks, options);
  command.insert(command.end(), {"--set", fmt::format("micro_batch={}", (8 + ranks - 1) / ranks)});
  return command;
}

Ended TrainingCase::run(const std::vector<std::string>& command, double seconds) const {
  return testing::run(command, folder(), seconds);
}

fs::path TrainingCase::checkpoint(const std::string& name, std::int64_t step) const {
  return checkpoint_path(run_folder(name) / "checkpoints", step);
}

void TrainingCase::start_from(const std::string& name, const std::string& other, std::int64_t step) const {
  fs::create_directories(run_folder(name) / "checkpoints");
  fs::copy(checkpoint(other, step), checkpoint(name, step));
  fs::copy(run_folder(other) / "job.yaml", run_folder(name) / "job.yaml");
}

std::map<std::int64_t, LoggedStep> TrainingCase::log(const std::string& name) const {
  std::map<std::int64_t, LoggedStep> steps;
  std::ifstream stream(run_folder(name) / "log.jsonl");
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) {
      ADD_FAILURE() << "log.jsonl of " << name << " holds a line that is not JSON: " << line;
      continue;
    }
    if (json.value("eval", false)) continue;
    const auto step = json.at("step").get<std::int64_t>();
    EXPECT_FALSE(steps.count(step)) << "step " << step << " is logged twice in " << name;
    steps[step] = {json.at("loss").get<double>(), json.at("lr").get<double>()};
  }
  return steps;
}

std::vector<std::string> TrainingCase::evaluations(const std::string& name) const {
  std::vector<std::string> lines;
  std::ifstream stream(run_folder(name) / "log.jsonl");
  for (std::string line; std::getline(stream, line);)
    if (line.find("\"eval\":true") != std::string::npos) lines.push_back(line);
  return lines;
}

double TrainingCase::evaluated_loss(const std::string& name) const {
  const auto lines = evaluations(name);
  if (lines.empty()) throw std::runtime_error("run " + name + " has logged no evaluation");
  return nlohmann::json::parse(lines.back()).at("loss").get<double>();
}

std::optional<ExitReport> TrainingCase::exit_report(const std::string& name) const {
  return read_exit_json(run_folder(name) / "exit.json");
}

std::vector<std::int64_t> TrainingCase::sound_checkpoints(const std::string& name) const {
  PosixFileSystem files;
  std::vector<std::int64_t> steps;
  for (const StepFile& file : list_checkpoints(files, run_folder(name) / "checkpoints")) {
    try {
      EXPECT_EQ(describe_checkpoint(files, file.path).meta.step, file.step);
      steps.push_back(file.step);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  return steps;
}

LastOperation TrainingCase::wait_for_step(const std::string& name, int rank, std::int64_t step, Process& process,
                                          double seconds) const {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const fs::path path = rank_record_path(run_folder(name), rank);
  const pid_t former = [&] {
    const auto record = read_last_operation(path);
    return record && is_alive(*record) == Alive::no ? record->pid : pid_t{-1};
  }();
  while (process.running() && std::chrono::steady_clock::now() < limit) {
    const auto record = read_last_operation(path);
    if (record && record->pid != former && record->step >= step) return *record;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  throw std::runtime_error(fmt::format("rank {} did not come to step {} of {}:\n{}", rank, step, name, process.err()));
}

std::string first_difference(const fs::path& one, const fs::path& other) {
  PosixFileSystem files;
  const LoadedCheckpoint a = load_checkpoint(files, one), b = load_checkpoint(files, other);
  if (a.meta.step != b.meta.step) return fmt::format("steps {} and {}", a.meta.step, b.meta.step);
  if (a.meta.samples_seen != b.meta.samples_seen)
    return fmt::format("{} and {} samples seen", a.meta.samples_seen, b.meta.samples_seen);
  if (a.states.size() != b.states.size()) return fmt::format("{} and {} states", a.states.size(), b.states.size());
  for (std::size_t i = 0; i < a.states.size(); ++i) {
    const LoadedState &x = a.states[i], &y = b.states[i];
    if (x.name != y.name || !(x.type == y.type)) return fmt::format("states {} and {}", x.name, y.name);
    if (std::memcmp(x.value.data(), y.value.data(), x.value.bytes()) != 0)
      return fmt::format("the values of {}", x.name);
  }
  return "";
}

SmallDisk::SmallDisk(fs::path path, const std::string& options) : path_(std::move(path)) {
  fs::create_directories(path_);
  mounted_ = mount("none", path_.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

SmallDisk::~SmallDisk() {
  if (mounted_) umount2(path_.c_str(), MNT_DETACH);
}

void SmallDisk::make_read_only() const {
  if (mount("none", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "") != 0)
    throw SystemError::from_errno("cannot remount " + path_.string(), errno);
}

}  // namespace weft::testing
