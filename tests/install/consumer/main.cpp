// Trains through the installed libweft: writes a small problem and a model, describes the job, trains it, and asks the
// interpreter whether the trained model predicts what the data says.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "graph/ir/interpret.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/import.hpp"
#include "src/data/data_writer.hpp"
#include "src/devices/devices.hpp"
#include "src/files/file_system.hpp"
#include "src/job/job_file.hpp"
#include "src/train/trainer.hpp"
#include "weft/communicator.hpp"
#include "weft/error.hpp"

namespace {

constexpr int kSamples = 256;

// Points on a grid of the square, and which of its four quarters they are in.
void write_quarters(const std::string& path) {
  std::vector<float> points;
  std::vector<std::int64_t> labels;
  for (int i = 0; i < kSamples; ++i) {
    const float x = static_cast<float>(i % 16) / 7.5F - 1, y = static_cast<float>(i / 16) / 7.5F - 1;
    points.insert(points.end(), {x, y});
    labels.push_back((x > 0 ? 1 : 0) + (y > 0 ? 2 : 0));
  }
  weft::DataWriter writer(path, "quarters of a square",
                          {{"points", weft::DType::f32, weft::Shape{kSamples, 2}, {}},
                           {"labels", weft::DType::i64, weft::Shape{kSamples}, {}}});
  writer.append(0, std::as_bytes(std::span(points)));
  writer.append(1, std::as_bytes(std::span(labels)));
  writer.finish();
}

const char* const kJob =
    "name: quarters\nmodel: mlp.onnx\nbatch: 32\nepochs: 40\nseed: 1\n"
    "data: {train: quarters.h5, inputs: {input: points}, target: labels}\n"
    "optimizer: {name: adam, lr: 0.01}\n";

weft::TrainResult train_here() {
  write_quarters("quarters.h5");
  weft::write_builtin_model("mlp", {{"inputs", "2"}, {"hidden", "16"}, {"classes", "4"}}, "mlp.onnx");
  const auto job = weft::parse_job(kJob, "the job", ".");
  const auto world = weft::make_single_communicator();
  const auto device = weft::make_device("cpu", {}, false);
  weft::PosixFileSystem files;
  return weft::train(job, {}, {*world, *device, files});
}

// How many points near the corners the trained model puts into the right quarter.
int right_corners(const std::filesystem::path& model_file) {
  weft::onnx::ImportOptions options;
  options.shapes["input"] = weft::Shape{4, 2};
  const auto model = weft::onnx::import_model(weft::onnx::load_model(model_file), options);
  std::map<std::string, weft::Tensor> inputs;
  for (const auto& state : model.states) inputs[state.name] = state.initial.value();
  inputs["input"] = weft::Tensor::from<float>(weft::Shape{4, 2}, {-1, -1, 1, -1, -1, 1, 1, 1});
  const auto logits = weft::interpret(model.forward, inputs).at("output");
  int right = 0;
  for (int i = 0; i < 4; ++i) {
    const auto row = logits.values<float>().subspan(static_cast<std::size_t>(4 * i), 4);
    right += std::max_element(row.begin(), row.end()) - row.begin() == i ? 1 : 0;
  }
  return right;
}

}  // namespace

int main() try {
  const auto result = train_here();
  const int right = right_corners(result.folder / "model.onnx");
  std::printf("%lld steps, loss %.4f, %d of 4 corners right, files in %s\n", static_cast<long long>(result.steps),
              result.loss, right, result.folder.c_str());
  return result.complete && result.steps == 320 && result.loss < 0.3 && right == 4 ? 0 : 1;
} catch (const weft::Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return static_cast<int>(e.exit_code());
}
