// Job: what the user asked for, checked and with defaults resolved. `src/job` reads it from YAML.
//
// Every field is a key of the job file; names, defaults and update formulas of optimisers, losses and schedules are
// PyTorch's. `weft job --schema` prints the same list with types, units and meanings.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weft/dtype.hpp"

namespace weft {

struct DataSpec {
  std::string train;                          ///< HDF5 file
  std::string eval;                           ///< HDF5 file, or empty
  std::map<std::string, std::string> inputs;  ///< model input -> dataset; unnamed inputs use their own name
  std::string target = "labels";              ///< dataset of the loss target; empty: the model computes the loss
  bool shuffle = true;
  // Applied to image inputs [N, C, H, W] while reading.
  std::vector<double> mean, std;  ///< per channel, in units of the scaled input; empty: none
  double scale = 0;               ///< multiplies stored integers; 0: 1/255 for u8 images, else 1
  std::int64_t crop = 0;          ///< random crop (centre crop in evaluation) to this size; 0: none
  std::int64_t crop_padding = 0;  ///< zeros around the image before the crop
  bool flip = false;              ///< random horizontal flip in training
  bool operator==(const DataSpec&) const = default;
};

struct LossSpec {
  std::string name = "cross_entropy";  ///< cross_entropy, mse, l1, huber, bce_with_logits; "" with output
  std::string output;                  ///< the model's own scalar output to minimise
  double label_smoothing = 0;          ///< cross_entropy
  std::int64_t ignore_index = -100;    ///< cross_entropy
  std::optional<int> class_axis;       ///< cross_entropy; default by comparing shapes, last if two fit
  double delta = 1.0;                  ///< huber
  bool operator==(const LossSpec&) const = default;
};

struct ParameterGroup {
  std::string pattern;             ///< glob on parameter names; the first group that matches applies
  std::optional<double> lr_scale;  ///< multiplies the learning rate
  std::optional<double> weight_decay;
  bool operator==(const ParameterGroup&) const = default;
};

struct OptimizerSpec {
  std::string name = "sgd";                      ///< sgd, adam, adamw, rmsprop, adagrad, lamb, lars
  double lr = 1e-3;                              ///< by optimiser: rmsprop, adagrad, lars 1e-2
  double momentum = 0, dampening = 0;            ///< sgd, rmsprop (momentum), lars
  bool nesterov = false;                         ///< sgd
  double beta1 = 0.9, beta2 = 0.999;             ///< adam, adamw, lamb
  double eps = 1e-8;                             ///< by optimiser: adagrad 1e-10, lamb 1e-6
  double alpha = 0.99;                           ///< rmsprop
  bool centered = false;                         ///< rmsprop
  double lr_decay = 0, initial_accumulator = 0;  ///< adagrad
  double trust_coefficient = 0.001;              ///< lars
  double weight_decay = 0;                       ///< adamw 0.01
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;   ///< global L2 norm of gradients; 0: none
  double clip_value = 0;  ///< elementwise; 0: none
  bool operator==(const OptimizerSpec&) const = default;
};

struct ScheduleSpec {
  std::string name = "constant";  ///< constant, linear, cosine, step, exponential, polynomial
  double warmup = 0;              ///< a fraction of all steps below 1, else a number of steps
  double final_factor = 0;        ///< linear, cosine, polynomial: lr at the end over lr
  std::int64_t step_size = 0;     ///< step: optimiser steps between decays
  double gamma = 0.1;             ///< step, exponential (per step_size, default one epoch)
  double power = 1.0;             ///< polynomial
  bool operator==(const ScheduleSpec&) const = default;
};

struct LossScaleSpec {
  double initial = 65536;               ///< the loss is multiplied by it before gradients are taken
  std::int64_t growth_interval = 2000;  ///< steps without overflow after which it doubles
  bool operator==(const LossScaleSpec&) const = default;
};

struct CheckpointSpec {
  enum class Unit : std::uint8_t { never, steps, epochs, minutes };
  Unit unit = Unit::epochs;
  double every = 1;
  int keep = 3;  ///< newest kept; older ones are removed after a newer one is good
  bool operator==(const CheckpointSpec&) const = default;
};

/// How parameters of some names are cut along the mesh axis "tensor".
struct SplitHint {
  static constexpr int kWhole = -1;

  std::string pattern;      ///< glob on parameter names; the first hint that matches applies
  int dimension = 0;        ///< kWhole: not at all
  std::int64_t blocks = 1;  ///< the dimension is so many runs, each cut alike
  bool operator==(const SplitHint&) const = default;
};

struct ParallelSpec {
  bool automatic = true;
  int data = 0, tensor = 1, pipeline = 1;  ///< 0: whatever is left of the ranks
  int zero = 0;
  std::string recompute = "none";
  std::vector<SplitHint> split = {};  ///< what is not named is cut where that is cheapest
  bool operator==(const ParallelSpec&) const = default;
};

struct CompileSpec {
  std::vector<std::string> without;  ///< passes to leave out (graph/lowering/passes.cpp)
  double tune = 2;                   ///< seconds for measuring schedules of generated kernels; 0: none but the default
  bool operator==(const CompileSpec&) const = default;
};

struct ResourceSpec {
  std::optional<int> nodes;  ///< absent: auto
  std::optional<int> ranks_per_node;
  std::string time = "01:00:00";        ///< HH:MM:SS or D-HH:MM:SS
  std::string partition, account, qos;  ///< empty: the site's default
  bool operator==(const ResourceSpec&) const = default;
};

struct JobSpec {
  std::string name;   ///< letters, digits, '.', '_', '-'; names the run folder
  std::string model;  ///< ONNX file, relative to the job file
  DataSpec data;
  LossSpec loss;
  std::vector<std::string> metrics;  ///< accuracy, top5, perplexity, mean_error
  OptimizerSpec optimizer;
  ScheduleSpec schedule;
  std::int64_t batch = 32;                  ///< global samples a step
  std::optional<std::int64_t> micro_batch;  ///< samples a rank and pass; absent: auto
  double epochs = 1;
  std::optional<std::int64_t> steps;  ///< wins over epochs
  DType precision = DType::f32;
  LossScaleSpec loss_scale;    ///< f16 only
  std::string math = "exact";  ///< exact, fast: convolutions may be computed by Winograd's algorithm
  std::int64_t seed = 0;
  bool deterministic = false;
  std::optional<std::int64_t> batch_norm_group;  ///< samples; absent: the default of the contract
  std::vector<std::string> train, freeze, tie;   ///< name patterns
  CheckpointSpec checkpoint;
  ParallelSpec parallel;
  CompileSpec compile;
  std::string device = "auto";
  int threads = 0;  ///< compute threads a rank; 0: auto
  ResourceSpec resources;
  double timeout_seconds = 300;  ///< longest wait for a peer
  std::string time_limit;        ///< HH:MM:SS or D-HH:MM:SS of one start: it saves and ends before; empty: none
  std::int64_t log_every = 0;    ///< steps between log lines; 0: auto
  std::int64_t check_replicas_every =
      0;                        ///< steps between hash comparisons of parameters; 0: only at start and checkpoints
  std::string runs = "runs";    ///< folder of run folders
  std::string directory = ".";  ///< where the job file is: relative paths start here
  bool operator==(const JobSpec&) const = default;
};

}  // namespace weft
