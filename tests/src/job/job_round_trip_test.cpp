// A job written back as YAML reads as the same job.
#include <gmock/gmock.h>

#include "tests/src/job/minimal_job.hpp"

namespace weft::testing {
namespace {

void expect_round_trip(const JobSpec& job) {
  const auto text = job_to_yaml(job);
  EXPECT_EQ(parse_job(text, "written.yaml", job.directory), job) << text;
}

TEST(JobRoundTrip, OfDefaults) { expect_round_trip(parse("")); }

TEST(JobRoundTrip, OfEveryLoss) {
  for (const auto* loss : {"cross_entropy", "mse", "l1", "huber", "bce_with_logits", "{output: loss_out}",
                           "{label_smoothing: 0.1, ignore_index: -1, class_axis: -1}", "{name: huber, delta: 0.3}"})
    expect_round_trip(parse(std::string("loss: ") + loss));
}

TEST(JobRoundTrip, OfEveryOptimizer) {
  for (const auto* optimizer :
       {"{name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 1e-4}", "{name: sgd, dampening: 0.1}",
        "{name: adam, betas: [0.8, 0.99], eps: 1e-6}", "{name: adamw, weight_decay: 0}",
        "{name: rmsprop, alpha: 0.9, centered: true, momentum: 0.1}",
        "{name: adagrad, lr_decay: 0.1, initial_accumulator_value: 0.2}", "lamb",
        "{name: lars, trust_coefficient: 0.02}",
        "{clip_norm: 1, clip_value: 0.5, groups: [{pattern: '*.bias', weight_decay: 0, lr_scale: 2}, {pattern: x}]}"})
    expect_round_trip(parse(std::string("optimizer: ") + optimizer));
}

TEST(JobRoundTrip, OfEverySchedule) {
  for (const auto* schedule :
       {"constant", "{name: linear, warmup: 0.1}", "{name: cosine, warmup: 100, final_factor: 0.01}",
        "{name: step, step_size: 30, gamma: 0.3}", "{name: exponential, gamma: 0.95}", "{name: polynomial, power: 2}"})
    expect_round_trip(parse(std::string("schedule: ") + schedule));
}

TEST(JobRoundTrip, OfEveryOtherSetting) {
  expect_round_trip(
      parse("metrics: [accuracy, top5, perplexity, mean_error]\nbatch: 96\nmicro_batch: 8\nepochs: 2.5\nsteps: 10\n"
            "precision: bf16\nmath: fast\nseed: 9223372036854775807\ndeterministic: true\nbatch_norm: {group: "
            "32}\ntrain: [a*]\n"
            "freeze: ['*.mean', \"we ird, [name]\"]\ntie: [b]\ncheckpoint: {every: 2.5 epochs, keep: 1}\n"
            "parallel: {data: 4, tensor: 2, pipeline: 3, zero: 1, recompute: full, split: {'*.w': {dimension: 1, "
            "blocks: 3}, \"we ird, {name}\": 0, c: none}}\ndevice: cpu\nthreads: 3\n"
            "resources: {nodes: 2, ranks_per_node: 8, time: 1-00:00:00, partition: p, account: acc-1, qos: high}\n"
            "timeout_seconds: 1.5\nlog_every: 7\ncheck_replicas_every: 11\nruns: ../out"));
  for (const auto* every : {"never", "1 step", "500 steps", "1 minute", "0.25 minutes"})
    expect_round_trip(parse(std::string("checkpoint: ") + every));
}

TEST(JobRoundTrip, OfTextsThatLookLikeOtherThings) {
  for (const auto* text :
       {"null", "~",  "true", "no",      "12",      "a: b", "# x", "[x]", "{x}",           "a, b",  "*x",  "&x",  "!x",
        "%x",   "@x", "'x'",  "a\"b\\c", " space ", "-",    "- a", "?",   "naïve 数据.h5", "C:\\x", "x#y", "x #y"}) {
    auto job = parse("");
    job.data.train = job.data.eval = job.model = text;
    job.data.inputs[text] = text;
    job.freeze = {text, text};
    expect_round_trip(job);
  }
}

}  // namespace
}  // namespace weft::testing
