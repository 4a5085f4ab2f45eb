// A case of fixtures.json, set up as a user would have it (model, data, job) and trained by the built `weft`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace weft::testing {

class ParityCase {
 public:
  /// Writes model.onnx, train.h5, eval.h5 and job.yaml of the case called `name` into `folder`.
  ParityCase(const std::string& name, std::filesystem::path folder);

  struct Log {
    std::vector<double> loss, lr;
    std::vector<bool> skipped;
    double evaluation = 0;
  };
  /// `weft train` on so many ranks, with keys of the job overridden ("key=value"). Throws with what it said unless it
  /// ends with 0.
  Log train(int ranks = 1, const std::vector<std::string>& settings = {}, const std::string& resume = "never") const;
  /// What PyTorch measured in f32.
  Log expected() const;
  /// Its losses in mixed precision of that type.
  Log expected(const std::string& precision) const;
  std::filesystem::path run_folder() const { return folder_ / "runs" / "parity"; }

 private:
  void write_model() const;
  void write_data(const std::string& part, std::int64_t samples) const;
  void write_job() const;

  nlohmann::json case_;
  int steps_ = 0;
  std::filesystem::path folder_;
};

}  // namespace weft::testing
