// A job small enough to train in a moment: 4x4 images of three classes, a two-layer perceptron.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "graph/models/models.hpp"
#include "src/data/data_writer.hpp"
#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {

/// u8 images [samples, 1, 4, 4], whose brightest quarter follows from the label, and u8 labels; a function of `seed`.
inline void write_images(const std::filesystem::path& path, std::int64_t samples, std::uint32_t seed) {
  std::vector<std::uint8_t> images, labels;
  for (std::int64_t s = 0; s < samples; ++s) {
    labels.push_back(static_cast<std::uint8_t>((seed >> 8) % 3));
    for (std::uint32_t i = 0; i < 16; ++i) {
      seed = seed * 1664525u + 1013904223u;
      images.push_back(static_cast<std::uint8_t>((seed >> 16) % 128 + (i / 4 == labels.back() ? 127 : 0)));
    }
  }
  DataWriter writer(path.string(), "test",
                    {{"images", DType::u8, Shape{samples, 1, 4, 4}, {}}, {"labels", DType::u8, Shape{samples}, {}}});
  writer.append(0, std::as_bytes(std::span(images)));
  writer.append(1, std::as_bytes(std::span(labels)));
  writer.finish();
}

/// `weft` under mpirun, on so many ranks of this machine, one compute thread each.
inline Outcome run_weft_on_ranks(int ranks, const std::vector<std::string>& arguments, const std::string& folder) {
  std::vector<std::string> command{WEFT_MPIRUN, std::to_string(ranks), WEFT_BINARY};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, {"OMP_NUM_THREADS=1"}, folder);
}

/// A folder with model.onnx, train.h5 (30 samples), test.h5 (17) and job.yaml: batches of 8, 6 steps,
/// a checkpoint every second one.
class SmallJob {
 public:
  SmallJob() {
    write_builtin_model("mlp", {{"inputs", "1,4,4"}, {"hidden", "8"}, {"classes", "3"}}, path("model.onnx"));
    write_images(path("train.h5"), 30, 1);
    write_images(path("test.h5"), 17, 2);
    std::ofstream(path("job.yaml")) << "name: small\nmodel: model.onnx\n"
                                       "data: {train: train.h5, eval: test.h5, inputs: {input: images}}\n"
                                       "metrics: [accuracy]\noptimizer: {name: sgd, lr: 0.1, momentum: 0.9}\n"
                                       "batch: 8\nsteps: 6\ncheckpoint: {every: 2 steps, keep: 5}\nthreads: 1\n";
  }
  std::filesystem::path folder() const { return folder_.path(); }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string checkpoint(int step) const { return path("runs/small/checkpoints/step-" + std::to_string(step) + ".h5"); }
  /// Runs `weft VERB job.yaml …` in the folder, on so many ranks.
  Outcome run(const std::string& verb, const std::vector<std::string>& more = {}, int ranks = 1) const {
    std::vector<std::string> arguments{verb, "job.yaml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ranks == 1 ? run_weft(arguments, {}, folder()) : run_weft_on_ranks(ranks, arguments, folder());
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace weft::testing
