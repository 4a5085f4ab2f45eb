// Import of small models: shapes are bound, constants folded, obstacles named all at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "tests/graph/onnx/fixtures.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using testing::message_of;

using ::testing::HasSubstr;

TEST(Import, GemmAndReluComputeWhatTheyShould) {
  const Model model = import_model(linear_model(), {.symbols = {{"N", 2}}});
  std::map<std::string, Tensor> arguments = {{"input", Tensor::from<float>({2, 4}, {1, 2, 3, 4, -1, 1, -1, 1})}};
  for (const ModelState& state : model.states) arguments[state.name] = state.initial.value();
  const Tensor y = interpret(model.forward, arguments).at("output");
  EXPECT_TRUE(y.identical(Tensor::from<float>({2, 3}, {1.5F, 4, 0, 0, 2, 3})));
}

TEST(Import, AnUnboundSymbolIsNamed) {
  EXPECT_THAT(message_of([] { import_model(linear_model(), {}); }), HasSubstr("'N'"));
}

TEST(Import, AnUnknownSymbolIsAnswered) {
  EXPECT_THAT(message_of([] {
                import_model(linear_model(), {.symbols = {{"M", 2}}});
              }),
              HasSubstr("no symbolic dimension 'M'; it has: N"));
}

TEST(Import, UnsupportedOperatorsAreNamedAllAtOnce) {
  ModelWriter writer("strange");
  std::string x = writer.input("input", DType::f32, {2});
  x = writer.node("NoSuchOperator", {x}, "first");
  x = writer.node("Relu", {x}, "between");
  writer.node("Unique", {"input"}, "second");
  writer.output(x, DType::f32, {2});
  const ModelFile file = std::move(writer).finish();
  const std::string message = message_of([&] { import_model(file, {}); });
  EXPECT_THAT(message, HasSubstr("NoSuchOperator node 'first'"));
  EXPECT_THAT(message, HasSubstr("Unique node 'second'"));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("between")));
}

TEST(Import, AHardCodedReshapeThatDoesNotFitTheBatchIsNamedWithARemedy) {
  ModelWriter writer("reshape");
  const std::string x = writer.input("input", DType::f32, {1, 6});
  const std::string shape = writer.initializer("shape", Tensor::from<std::int64_t>({2}, {2, 3}));
  writer.output(writer.node("Reshape", {x, shape}, "fold"), DType::f32, {2, 3});
  const ModelFile file = std::move(writer).finish();
  const std::string message = message_of([&] { import_model(file, {.shapes = {{"input", Shape{4, 6}}}}); });
  EXPECT_THAT(message, HasSubstr("Reshape node 'fold'"));
  EXPECT_THAT(message, HasSubstr("dynamic batch"));
}

TEST(Import, ShapeArithmeticIsFoldedAway) {
  ModelWriter writer("flatten by hand");
  const std::string x = writer.input("input", DType::f32, {"N", 2, 3});
  const std::string zero = writer.initializer("zero", Tensor::from<std::int64_t>({1}, {0}));
  const std::string rest = writer.initializer("rest", Tensor::from<std::int64_t>({1}, {-1}));
  const std::string batch = writer.node("Gather", {writer.node("Shape", {x}, "shape"), zero}, "batch");
  const std::string target = writer.node("Concat", {batch, rest}, "target", {{"axis", std::int64_t{0}}});
  writer.output(writer.node("Reshape", {x, target}, "flat"), DType::f32, {"N", 6});
  const Model model = import_model(std::move(writer).finish(), {.symbols = {{"N", 5}}});
  ASSERT_EQ(model.forward.nodes().size(), 1U);
  EXPECT_EQ(model.forward.nodes()[0].op, Op::reshape);
  EXPECT_EQ(model.forward.type(model.forward.outputs()[0].value).shape, (Shape{5, 6}));
}

TEST(Import, AnInputThatDecidesAShapeIsReportedAndCanBeBound) {
  ModelWriter writer("expand");
  const std::string x = writer.input("input", DType::f32, {1, 2});
  const std::string shape = writer.input("extents", DType::i64, {2});
  writer.output(writer.node("Expand", {x, shape}, "wide"), DType::f32, {"A", "B"});
  const ModelFile file = std::move(writer).finish();
  EXPECT_EQ(required_constants(file, {}), std::vector<std::string>{"extents"});
  const Model model = import_model(file, {.constants = {{"extents", Tensor::from<std::int64_t>({2}, {3, 2})}}});
  EXPECT_EQ(model.forward.type(model.forward.outputs()[0].value).shape, (Shape{3, 2}));
  EXPECT_EQ(model.forward.inputs().size(), 1U);
}

TEST(Import, InferenceBatchNormIsOneNodeOfFiveOperands) {
  ModelWriter writer("bn");
  const std::string x = writer.input("input", DType::f32, {"N", 2, 3});
  std::vector<std::string> inputs = {x};
  for (const char* name : {"scale", "bias", "mean", "variance"})
    inputs.push_back(writer.initializer(name, Tensor::full(DType::f32, {2}, 1)));
  writer.output(writer.node("BatchNormalization", inputs, "bn", {{"momentum", 0.75}}), DType::f32, {"N", 2, 3});
  const Model model = import_model(std::move(writer).finish(), {.symbols = {{"N", 4}}});
  ASSERT_EQ(model.forward.nodes().size(), 1U);
  const Node& node = model.forward.nodes()[0];
  EXPECT_EQ(node.op, Op::batch_norm);
  EXPECT_EQ(node.inputs.size(), 5U);
  EXPECT_EQ(node.attributes.number("momentum"), 0.75);
  std::map<std::string, bool> trainable;
  for (const ModelState& state : model.states) trainable[state.name] = state.trainable;
  const std::map<std::string, bool> expected = {{"scale", true}, {"bias", true}, {"mean", false}, {"variance", false}};
  EXPECT_EQ(trainable, expected);
}

TEST(Verdicts, WeightsAreParametersAndScalesOfAFormulaAreNot) {
  ModelWriter writer("verdicts");
  const std::string x = writer.input("input", DType::f32, {"N", 2});
  const std::string w = writer.initializer("w", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  const std::string turned = writer.node("Transpose", {w}, "turn");
  const std::string product = writer.node("MatMul", {x, turned}, "product");
  const std::string half = writer.initializer("half", Tensor::scalar(0.5F));
  const std::string bias = writer.initializer("bias", Tensor::from<float>({2}, {1, 2}));
  const std::string y = writer.node("Add", {writer.node("Mul", {product, half}, "scaled"), bias}, "shifted");
  writer.output(y, DType::f32, {"N", 2});
  const ModelFile file = std::move(writer).finish();
  const std::vector<InitializerVerdict> verdicts = judge_initializers(file);
  EXPECT_EQ(verdicts[0].kind, InitializerKind::parameter);
  EXPECT_EQ(verdicts[0].reason, "weight of MatMul node 'product'");
  EXPECT_EQ(verdicts[1].kind, InitializerKind::constant);
  EXPECT_EQ(verdicts[2].kind, InitializerKind::parameter);
  EXPECT_EQ(judge_initializers(file, {"half"}, {"w"})[0].kind, InitializerKind::state);
  EXPECT_EQ(judge_initializers(file, {"half"}, {"w"})[1].kind, InitializerKind::parameter);
  EXPECT_THAT(message_of([&] { judge_initializers(file, {"nothing*"}); }), HasSubstr("names no initializer"));
}

/// Of x [2, 4], rows of 4 numbers each, along axis 1.
Tensor gathered(const Tensor& indices, Op& made_by) {
  ModelWriter writer("rows");
  const std::string x = writer.input("input", DType::f32, {2, 4});
  const std::string y =
      writer.node("Gather", {x, writer.initializer("indices", indices)}, "g", {{"axis", std::int64_t{1}}});
  std::vector<ModelWriter::Dim> shape = {2};
  shape.insert(shape.end(), indices.shape().begin(), indices.shape().end());
  writer.output(y, DType::f32, shape);
  const Model model = import_model(std::move(writer).finish(), {});
  made_by = model.forward.nodes().back().op;
  return interpret(model.forward, {{"input", Tensor::from<float>({2, 4}, {0, 1, 2, 3, 4, 5, 6, 7})}}).begin()->second;
}

TEST(Import, KnownNeighboursAreSlicedAndOthersGathered) {
  Op made_by{};
  EXPECT_TRUE(
      gathered(Tensor::from<std::int64_t>({2}, {1, 2}), made_by).identical(Tensor::from<float>({2, 2}, {1, 2, 5, 6})));
  EXPECT_EQ(made_by, Op::slice);
  EXPECT_TRUE(gathered(Tensor::scalar<std::int64_t>(-1), made_by).identical(Tensor::from<float>({2}, {3, 7})));
  EXPECT_EQ(made_by, Op::reshape);
  EXPECT_TRUE(
      gathered(Tensor::from<std::int64_t>({2}, {2, 1}), made_by).identical(Tensor::from<float>({2, 2}, {2, 1, 6, 5})));
  EXPECT_EQ(made_by, Op::gather);
  EXPECT_TRUE(std::isnan(gathered(Tensor::from<std::int64_t>({2}, {3, 4}), made_by).as_double(1)));
}

/// A vision transformer's tokens, the sum with `table` read by the operator `reader`.
ModelFile tokens_model(const std::string& reader) {
  ModelWriter writer("tokens");
  const std::string x = writer.input("input", DType::f32, {2, 3, 4});
  std::string patches = writer.node("MatMul", {x, writer.initializer("w", Tensor::full(DType::f32, {4, 4}, 2))}, "p");
  const std::string shape = writer.initializer("shape", Tensor::from<std::int64_t>({3}, {2, 1, 4}));
  const std::string token = writer.initializer("token", Tensor::full(DType::f32, {1, 1, 4}, 0));
  const std::string first = writer.node("Expand", {token, shape}, "expand");
  patches = writer.node("Concat", {first, patches}, "beside", {{"axis", std::int64_t{1}}});
  const std::string table = writer.initializer("table", Tensor::full(DType::f32, {1, 4, 4}, 1));
  const std::string sum = writer.node("Add", {patches, table}, "placed");
  writer.output(writer.node(reader, {sum}, "reader"), DType::f32, {2, 4, 4});
  return std::move(writer).finish();
}

TEST(Verdicts, ClassTokensAndTablesOfPositionsAreParametersAndMasksAreNot) {
  const std::vector<InitializerVerdict> tokens = judge_initializers(tokens_model("Relu"));
  EXPECT_EQ(tokens[2].kind, InitializerKind::parameter);
  EXPECT_EQ(tokens[2].reason, "token of Concat node 'beside'");
  EXPECT_EQ(tokens[3].kind, InitializerKind::parameter);
  EXPECT_EQ(tokens[3].reason, "table of positions of Add node 'placed'");
  EXPECT_EQ(judge_initializers(tokens_model("Softmax"))[3].kind, InitializerKind::constant);
}

TEST(Verdicts, EqualCopiesAreReported) {
  ModelWriter writer("copies");
  const std::string x = writer.input("input", DType::f32, {"N", 2});
  const Tensor value = Tensor::from<float>({2, 2}, {1, 2, 3, 4});
  std::string y = writer.node("MatMul", {x, writer.initializer("a", value)}, "p");
  y = writer.node("MatMul", {y, writer.initializer("b", value)}, "q");
  writer.output(y, DType::f32, {"N", 2});
  EXPECT_EQ(judge_initializers(std::move(writer).finish())[1].copy_of, "a");
}

}  // namespace
}  // namespace weft::onnx
