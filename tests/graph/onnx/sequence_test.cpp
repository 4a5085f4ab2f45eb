// Sequences and optionals of tensors, resolved on import.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "tests/support/message_of.hpp"

namespace weft::onnx {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

std::string integer(ModelWriter& writer, const std::string& name, std::int64_t value) {
  return writer.initializer(name, Tensor::scalar(value));
}

TEST(Sequences, ASplitIntoASequenceIsSlices) {
  ModelWriter writer("split");
  const std::string x = writer.input("input", DType::f32, {5});
  const std::string parts = writer.node("SplitToSequence", {x, integer(writer, "two", 2)}, "split");
  const std::string last = writer.node("SequenceAt", {parts, integer(writer, "last", -1)}, "at");
  const std::string first = writer.node("SequenceAt", {parts, integer(writer, "first", 0)}, "first_at");
  writer.output(writer.node("Concat", {last, first}, "join", {{"axis", std::int64_t{0}}}, "output"), DType::f32, {3});
  const Model model = import_model(std::move(writer).finish(), {});
  const auto y = interpret(model.forward, {{"input", Tensor::from<float>({5}, {1, 2, 3, 4, 5})}});
  EXPECT_TRUE(y.at("output").identical(Tensor::from<float>({3}, {5, 1, 2})));
}

TEST(Sequences, InsertedAndErasedTensorsAreThoseThatAreJoined) {
  ModelWriter writer("edit");
  const std::string x = writer.input("input", DType::f32, {2});
  std::string list = writer.node("SequenceConstruct", {x, writer.node("Neg", {x}, "neg")}, "make");
  list = writer.node("SequenceInsert", {list, writer.node("Abs", {x}, "abs"), integer(writer, "one", 1)}, "insert");
  list = writer.node("SequenceErase", {list, integer(writer, "zero", 0)}, "erase");
  writer.output(writer.node("ConcatFromSequence", {list}, "join",
                            {{"axis", std::int64_t{0}}, {"new_axis", std::int64_t{1}}}, "output"),
                DType::f32, {2, 2});
  const Model model = import_model(std::move(writer).finish(), {});
  const auto y = interpret(model.forward, {{"input", Tensor::from<float>({2}, {-1, 2})}});
  EXPECT_TRUE(y.at("output").identical(Tensor::from<float>({2, 2}, {1, 2, 1, -2})));
}

TEST(Sequences, APositionOutsideAndASequenceWhereATensorBelongsAreNamed) {
  ModelWriter writer("wrong");
  const std::string x = writer.input("input", DType::f32, {2});
  const std::string list = writer.node("SequenceConstruct", {x}, "make");
  writer.node("SequenceAt", {list, integer(writer, "three", 3)}, "outside");
  writer.output(writer.node("Relu", {list}, "relu", {}, "output"), DType::f32, {2});
  const ModelFile file = std::move(writer).finish();
  const std::string message = message_of([&] { import_model(file, {}); });
  EXPECT_THAT(message, HasSubstr("position 3 is outside a sequence of 1 tensors"));
  EXPECT_THAT(message, HasSubstr("Relu node 'relu': its operand 0 is a sequence of tensors"));
}

}  // namespace
}  // namespace weft::onnx
