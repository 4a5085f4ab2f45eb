// The table of verbs, in the order of the help text.
#include "src/cli/verbs.hpp"

#include <array>

namespace weft::cli {

std::span<const Verb> verbs() {
  static constexpr auto kVerbs = std::to_array<Verb>({
      {"model", "writes a built-in architecture with fresh weights", RunsOn::first_rank, Computes::no, run_model},
      {"data", "import: other formats to training data; show: describes such a file", RunsOn::first_rank, Computes::no,
       run_data},
      {"job", "shows a job with its defaults filled in, or every key there is (--schema)", RunsOn::first_rank,
       Computes::no, run_job},
      {"calibrate", "measures this machine, for plan and for the predictions of train", RunsOn::all_ranks,
       Computes::yes, run_calibrate},
      {"plan", "predicts a job's time and memory for every number of ranks and threads", RunsOn::first_rank,
       Computes::no, run_plan},
      {"submit", "plans a job, writes its job script, and gives it to Slurm", RunsOn::first_rank, Computes::no,
       run_submit},
      {"train", "trains", RunsOn::all_ranks, Computes::yes, run_train},
      {"export", "trained weights of a checkpoint back in the user's ONNX model", RunsOn::first_rank, Computes::no,
       run_export},
      {"eval", "loss and metrics of a checkpoint on the evaluation set", RunsOn::all_ranks, Computes::yes, run_eval},
      {"predict", "a model's outputs for the samples of a file", RunsOn::first_rank, Computes::yes, run_predict},
      {"compile", "plan, memory, instructions and kernels of a job or model", RunsOn::first_rank, Computes::no,
       run_compile},
      {"inspect", "says what a file is and whether it is sound", RunsOn::first_rank, Computes::no, run_inspect},
      {"verify", "runs ONNX backend-test folders", RunsOn::first_rank, Computes::yes, run_verify},
  });
  return kVerbs;
}

}  // namespace weft::cli
