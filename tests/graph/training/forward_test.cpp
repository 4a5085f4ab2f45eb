#include "graph/training/forward.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;

Table initial_inputs(const Model& model, const Tensor& x) {
  Table inputs{{"x", x}};
  for (const ModelState& s : model.states) inputs[s.name] = s.initial.value();
  return inputs;
}

TEST(Forward, InferenceHasNoCompositesOfTraining) {
  const Graph graph = inference_graph(conv_net(4, 0.5).forward);
  for (const Node& node : graph.nodes()) {
    EXPECT_NE(node.op, Op::batch_norm);
    EXPECT_NE(node.op, Op::dropout);
  }
}

TEST(Forward, InferenceNormalisesWithRunningStatistics) {
  Model model;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {2, 1}});
  const ValueId scale = add_state(model, b, "s", Tensor::full(DType::f32, {1}, 3));
  const ValueId bias = add_state(model, b, "b", Tensor::full(DType::f32, {1}, 1));
  const ValueId mean = add_state(model, b, "m", Tensor::full(DType::f32, {1}, 2), false);
  const ValueId var = add_state(model, b, "v", Tensor::full(DType::f32, {1}, 4), false);
  b.output("y", OutputRole::fetch,
           b.one(Op::batch_norm, {x, scale, bias, mean, var},
                 {{"axis", std::int64_t{1}}, {"epsilon", 0.0}, {"momentum", 0.9}, {"groups", std::int64_t{0}}}));
  model.forward = std::move(b).take();
  const Table out =
      interpret(inference_graph(model.forward), initial_inputs(model, Tensor::from<float>({2, 1}, {2, 6})));
  expect_close(out.at("y"), {1, 7}, 1e-6, "y");
}

/// The training form of a dropout of ones with this shape, for `samples` samples from `offset`.
Tensor dropped(const Shape& shape, std::int64_t samples, std::int64_t offset, const char* name) {
  GraphBuilder m;
  const ValueId x = m.input("x", InputRole::feed, {DType::f32, shape});
  {
    const ScopedName scope(m, name);
    m.output("y", OutputRole::fetch,
             m.one(Op::dropout, {x}, {{"ratio", 0.5}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}}));
  }
  const Graph forward = std::move(m).take();
  GraphBuilder b;
  const std::vector<std::string> none;
  TrainingForm form;
  form.samples = samples;
  form.freeze = &none;
  form.random = {b.full(DType::i64, {}, 7), b.full(DType::i64, {}, 1),
                 b.full(DType::i64, {}, static_cast<double>(offset))};
  const ValueId in = b.input("x", InputRole::feed, {DType::f32, shape});
  b.output("y", OutputRole::fetch, append_training_forward(b, forward, {in}, form).outputs[0]);
  return interpret(b.graph(), {{"x", Tensor::full(DType::f32, shape, 1)}}).at("y");
}

TEST(Forward, DropoutOfASampleDoesNotDependOnThePassItIsIn) {
  const Tensor all = dropped({6, 10}, 6, 0, "d"), late = dropped({2, 10}, 2, 4, "d");
  const std::vector<double> whole = numbers(all);
  expect_close(late, {whole.begin() + 40, whole.end()}, 0, "the last two samples");
}

TEST(Forward, DropoutFollowsSamplesThatAreFlattenedWithPositions) {
  const std::vector<double> whole = numbers(dropped({12, 5}, 4, 0, "d"));
  expect_close(dropped({3, 5}, 1, 2, "d"), {whole.begin() + 30, whole.begin() + 45}, 0, "the third sample");
}

/// A dropout over a sequence of `length` steps of `samples` samples each.
Graph sequence_first(std::int64_t length, std::int64_t samples) {
  GraphBuilder m;
  const ValueId x = m.input("x", InputRole::feed, {DType::f32, {length, samples, 5}});
  m.output("y", OutputRole::fetch,
           m.one(Op::dropout, {x}, {{"ratio", 0.5}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}}));
  return std::move(m).take();
}

Tensor dropped_sequence(std::int64_t length, std::int64_t samples, std::int64_t offset) {
  const Graph forward = sequence_first(length, samples), resized = sequence_first(length, samples + 1);
  GraphBuilder b;
  const std::vector<std::string> none;
  TrainingForm form;
  form.samples = samples;
  form.freeze = &none;
  form.random = {b.full(DType::i64, {}, 7), b.full(DType::i64, {}, 1),
                 b.full(DType::i64, {}, static_cast<double>(offset))};
  form.resized = &resized;
  form.resized_samples = samples + 1;
  const Shape shape{length, samples, 5};
  const ValueId in = b.input("x", InputRole::feed, {DType::f32, shape});
  b.output("y", OutputRole::fetch, append_training_forward(b, forward, {in}, form).outputs[0]);
  return interpret(b.graph(), {{"x", Tensor::full(DType::f32, shape, 1)}}).at("y");
}

TEST(Forward, DropoutFindsItsSamplesBehindASequenceInPassesOfOneAndOfAsManyAsTheSequenceIsLong) {
  constexpr std::int64_t kLength = 4, kSamples = 8;
  const Tensor whole = dropped_sequence(kLength, kSamples, 0);
  for (const std::int64_t pass : {std::int64_t{1}, std::int64_t{2}, kLength})
    for (std::int64_t offset = 0; offset < kSamples; offset += pass) {
      const Tensor part = dropped_sequence(kLength, pass, offset);
      for (std::int64_t step = 0; step < kLength; ++step)
        for (std::int64_t i = 0; i < pass * 5; ++i)
          ASSERT_EQ(part.as_double(step * pass * 5 + i), whole.as_double((step * kSamples + offset) * 5 + i))
              << "pass of " << pass << " at sample " << offset;
    }
}

TEST(Forward, DropoutsOfDifferentNamesDiffer) {
  EXPECT_NE(numbers(dropped({6, 10}, 6, 0, "d")), numbers(dropped({6, 10}, 6, 0, "e")));
}

TEST(Forward, DropoutInsideControlFlowIsRefused) {
  GraphBuilder body;
  const ValueId v = body.input("v", InputRole::feed, {DType::f32, {2}});
  body.output("y", OutputRole::fetch,
              body.one(Op::dropout, {v}, {{"ratio", 0.5}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}}));
  GraphBuilder m;
  const ValueId c = m.input("c", InputRole::feed, {DType::boolean, {}});
  const ValueId x = m.input("x", InputRole::feed, {DType::f32, {2}});
  m.output("y", OutputRole::fetch, m.control(Op::if_, {c, x}, {body.graph(), body.graph()}).front());
  GraphBuilder b;
  const std::vector<std::string> none;
  TrainingForm form;
  form.samples = 2;
  form.freeze = &none;
  const std::vector<ValueId> arguments{b.input("c", InputRole::feed, {DType::boolean, {}}),
                                       b.input("x", InputRole::feed, {DType::f32, {2}})};
  EXPECT_THROW(append_training_forward(b, m.graph(), arguments, form), UserError);
}

}  // namespace
}  // namespace weft
