// Whole training steps of random models over ranks: losses, metrics and states of the unsharded step.
#include <gtest/gtest.h>

#include <random>

#include "graph/ir/interpret.hpp"
#include "graph/partition/partition.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

Attributes inference_norm(std::int64_t axis) {
  return {{"axis", axis}, {"epsilon", 1e-5}, {"momentum", 0.9}, {"groups", std::int64_t{0}}};
}

/// A random model maker: the same choices for every number of samples.
class RandomModel {
 public:
  RandomModel(bool images, unsigned seed) : images_(images), seed_(seed) {}

  Model operator()(std::int64_t samples) const {
    Maker m{{}, {}, std::mt19937(seed_), 0};
    const Shape shape = images_ ? Shape{samples, 2, 6, 6} : Shape{samples, 7};
    ValueId v = m.b.input("x", InputRole::feed, {DType::f32, shape});
    const int layers = 1 + m.pick(3);
    for (int i = 0; i < layers; ++i) v = images_ ? m.convolution(v) : m.affine(v, 4 + m.pick(5), true);
    if (images_) v = m.b.reshape(v, {samples, m.b.shape(v).elements() / samples});
    m.b.output("y", OutputRole::fetch, m.affine(v, 4, false));
    m.model.forward = std::move(m.b).take();
    return std::move(m.model);
  }

  bool images() const { return images_; }

 private:
  struct Maker {
    Model model;
    GraphBuilder b;
    std::mt19937 random;
    int names;

    int pick(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }
    ValueId state(const char* name, const Shape& shape, float factor, float offset, bool trainable = true) {
      const int k = names++;
      return add_state(model, b, std::string(name) + std::to_string(k), noise(shape, k, factor, offset), trainable);
    }
    ValueId norm(ValueId v) {
      const ScopedName scope(b, "norm" + std::to_string(names));
      const Shape c{b.shape(v)[1]};
      const ValueId scale = state("scale", c, 0.3F, 1), bias = state("bias", c, 0.3F, 0);
      const ValueId mean = state("mean", c, 0.1F, 0, false), var = state("var", c, 0.1F, 1, false);
      return b.one(Op::batch_norm, {v, scale, bias, mean, var}, inference_norm(1));
    }
    ValueId activated(ValueId v) {
      if (pick(3) > 0) v = norm(v);
      v = b.unary(pick(2) > 0 ? Op::relu : Op::tanh, v);
      if (pick(2) == 0) return v;
      const ScopedName scope(b, "drop" + std::to_string(names));
      return b.one(Op::dropout, {v}, {{"ratio", 0.25}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}});
    }
    ValueId affine(ValueId v, std::int64_t out, bool activate) {
      const ValueId w = state("w", {b.shape(v)[1], out}, 0.4F, 0), c = state("c", {out}, 0.1F, 0);
      const ValueId y = b.add(b.matmul(v, w), c);
      return activate ? activated(y) : y;
    }
    ValueId convolution(ValueId v) {
      const std::int64_t out = 2 + pick(3);
      const ValueId w = state("k", {out, b.shape(v)[1], 3, 3}, 0.4F, 0);
      v = activated(b.conv(v, w, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}));
      if (b.shape(v)[2] < 4 || pick(2) == 0) return v;
      return b.pool(pick(2) > 0 ? Op::reduce_window_max : Op::reduce_window_sum, v,
                    {{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
    }
  };

  bool images_;
  unsigned seed_;
};

struct Batch {
  Tensor x, target;
};

Batch make_batch(const RandomModel& model, std::int64_t samples, std::int64_t salt, bool ignore) {
  Batch batch{noise(model.images() ? Shape{samples, 2, 6, 6} : Shape{samples, 7}, salt), Tensor(DType::i64, {samples})};
  for (std::int64_t i = 0; i < samples; ++i)
    batch.target.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] =
        ignore && i % 3 == 1 ? -100 : (i * 5 + salt) % 4;
  return batch;
}

JobSpec make_job(std::int64_t batch, std::optional<std::int64_t> group) {
  JobSpec job = plain_job();
  job.batch = batch;
  job.batch_norm_group = group;
  job.metrics = {"accuracy"};
  job.optimizer = optimizer_spec("sgd", {{"lr", 0.1}, {"momentum", 0.9}, {"clip_norm", 1.0}});
  return job;
}

void expect_same_training(const RandomModel& make, const JobSpec& job, bool ignore) {
  const std::int64_t n = job.batch;
  const Model model = make(n);
  const TrainingGraph step = build_training_step(model, job, {n, n, Pass::only, {9, 3}, Shape{}});
  Table table;
  add_initial_states(table, model, step);
  for (const std::int64_t salt : {100, 101}) {
    const Batch batch = make_batch(make, n, salt, ignore);
    Table inputs = table;
    inputs["x"] = batch.x;
    inputs["target"] = batch.target;
    inputs["sample_offset"] = Tensor::scalar<std::int64_t>(0);
    for (const int ranks : {1, 2, 3, 4, 8}) expect_same_on_ranks(step.graph, ranks, inputs, 1e-5);
    run_pass(step.graph, table, {{"x", batch.x}, {"target", batch.target}});
  }
}

TEST(PartitionedTraining, RandomMlpsTrainAlikeOnAnyRankCount) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    const std::int64_t n = 1 + static_cast<std::int64_t>(seed * 7 % 13);
    expect_same_training(RandomModel(false, seed), make_job(n < 2 ? 6 : n, std::nullopt), seed % 2 == 1);
  }
}

TEST(PartitionedTraining, RandomConvolutionalNetsTrainAlikeOnAnyRankCount) {
  for (unsigned seed = 20; seed < 26; ++seed) {
    SCOPED_TRACE(seed);
    expect_same_training(RandomModel(true, seed), make_job(5 + seed % 4, std::nullopt), seed % 2 == 1);
  }
}

TEST(PartitionedTraining, GroupsInsideAndAcrossRanksNormaliseAlike) {
  for (unsigned seed = 30; seed < 34; ++seed) {
    SCOPED_TRACE(seed);
    expect_same_training(RandomModel(true, seed), make_job(12, 2), false);
    expect_same_training(RandomModel(true, seed), make_job(12, 4), true);
    expect_same_training(RandomModel(false, seed), make_job(12, 6), true);
  }
}

TEST(PartitionedTraining, AGroupInsideOneRankNeedsNoExchange) {
  const Model model = conv_net(12);
  const auto collectives = [&](std::int64_t group) {
    const JobSpec job = make_job(12, group);
    const TrainingGraph step = build_training_step(model, job, {12, 12, Pass::only, {9, 3}, Shape{}});
    const Graph local = partition(step.graph, data_mesh(3), 0);
    EXPECT_EQ(count_of(local, Op::batch_norm), group == 4 ? 1 : 0);
    return count_of(local, Op::all_reduce);
  };
  // Local groups: five gradients, loss and its count, accuracy, running mean and variance; the scale's and the bias's
  // gradients are among the five. Spanning groups exchange twice more, but their four results are whole then.
  EXPECT_EQ(collectives(4), 11);
  EXPECT_EQ(collectives(12), 9);
}

TEST(PartitionedTraining, EveryGradientIsReducedOnce) {
  const TrainingGraph step =
      build_training_step(mlp(8), make_job(8, std::nullopt), {8, 8, Pass::only, {9, 3}, Shape{}});
  const Graph local = partition(step.graph, data_mesh(2), 0);
  EXPECT_EQ(count_of(local, Op::all_reduce), 4 + 3 + 1);  // gradients; loss, its count, accuracy's sum and count
}

TEST(PartitionedTraining, AccumulatorsHoldEachRanksShareUntilTheLastPass) {
  const JobSpec job = make_job(12, 2);
  Table whole;
  std::vector<Table> states(3);
  const std::int64_t sizes[] = {4, 6, 2};
  Table expected;
  std::vector<Table> actual;
  std::int64_t first = 0;
  for (int p = 0; p < 3; ++p) {
    const std::int64_t m = sizes[p];
    const Model model = conv_net(m, 0.3);
    const Pass pass = p == 0 ? Pass::first : p == 1 ? Pass::middle : Pass::last;
    const TrainingGraph step = build_training_step(model, job, {m, 12, pass, {9, 3}, Shape{}});
    add_initial_states(whole, model, step);
    for (Table& s : states) add_initial_states(s, model, step);
    Batch batch{noise({m, 2, 6, 6}, 50 + p), Tensor(DType::i64, {m})};
    const Table inputs{{"x", batch.x}, {"target", batch.target}, {"sample_offset", Tensor::scalar(first)}};
    expected = run_pass(step.graph, whole, inputs);
    actual = run_ranks(step.graph, 3, inputs, states);
    for (std::size_t r = 0; r < states.size(); ++r)
      for (const GraphOutput& o : step.graph.outputs())
        if (o.role == OutputRole::state) states[r][o.name] = actual[r].at(o.name);
    if (pass == Pass::first) {
      EXPECT_EQ(count_of(partition(step.graph, data_mesh(3), 0), Op::all_reduce), 2);  // statistics across ranks only
    }
    first += m;
  }
  for (std::size_t r = 0; r < states.size(); ++r) {
    for (const auto& [name, value] : expected) EXPECT_LE(difference(actual[r].at(name), value), 1e-5) << name;
    for (const auto& [name, value] : whole)
      if (!name.starts_with("accumulate/")) {
        EXPECT_LE(difference(states[r].at(name), value), 1e-5) << name;
      }
  }
}

TEST(PartitionedTraining, EvaluationTotalsAddUpOverRanks) {
  const JobSpec job = make_job(7, std::nullopt);
  const EvaluationGraph eval = build_evaluation(conv_net(7), job, 7, Shape{});
  Table inputs{{"x", noise({7, 2, 6, 6}, 3)}, {"target", Tensor(DType::i64, {7})}};
  for (const ModelState& s : conv_net(7).states) inputs[s.name] = s.initial.value();
  for (const int ranks : {2, 3, 8}) expect_same_on_ranks(eval.graph, ranks, inputs, 1e-6);
}

}  // namespace
}  // namespace weft
