// What exporters note beside the graph: parameters, tied weights, batch normalisation that they folded away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/export.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "graph/onnx/proto.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::onnx {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Adds a metadata property as newer message classes would encode it.
void note(google::protobuf::Message& message, int field, const std::string& key, const std::string& value) {
  pb::StringStringEntryProto entry;
  entry.set_key(key);
  entry.set_value(value);
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(field, entry.SerializeAsString());
}

void note_kind(pb::ModelProto& model, const std::string& name, const std::string& kind) {
  auto& value = *model.mutable_graph()->add_value_info();
  value.set_name(name);
  note(value, 4, "pkg.torch.export.graph_signature.InputSpec.kind", kind);
}

void note_origin(pb::ModelProto& model, const std::string& name, const std::string& origin) {
  auto& value = *model.mutable_graph()->add_value_info();
  value.set_name(name);
  note(value, 4, "pkg.onnxscript.optimizer.folded_from", "['" + origin + "']");
}

ModelFile parsed(const pb::ModelProto& model) {
  const std::string bytes = model.SerializeAsString();
  return parse_model(std::as_bytes(std::span(bytes)), "exported");
}

/// tokens [N] -> Gather from `embedding` [3, 2] -> MatMul with `head` [2, 3], the same numbers turned.
pb::ModelProto tied_model(float last = 6) {
  ModelWriter writer("tied");
  const std::string tokens = writer.input("tokens", DType::i64, {"N"});
  const std::string table = writer.initializer("embedding", Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  const std::string head = writer.initializer("head", Tensor::from<float>({2, 3}, {1, 3, 5, 2, 4, last}));
  const std::string x = writer.node("Gather", {table, tokens}, "gather");
  writer.output(writer.node("MatMul", {x, head}, "head_node", {}, "output"), DType::f32, {"N", 3});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  note_origin(model, "head", "embedding");
  return model;
}

TEST(ExporterNotes, ATiedWeightThatTheExporterWroteTwiceIsOneState) {
  const ModelFile file = parsed(tied_model());
  const Model model = import_model(file, {.symbols = {{"N", 2}}});
  ASSERT_EQ(model.states.size(), 1U);
  EXPECT_EQ(model.states[0].name, "embedding");
  const auto y = interpret(model.forward, {{"tokens", Tensor::from<std::int64_t>({2}, {0, 2})},
                                           {"embedding", Tensor::from<float>({3, 2}, {1, 0, 0, 1, 2, 2})}});
  EXPECT_TRUE(y.at("output").identical(Tensor::from<float>({2, 3}, {1, 0, 2, 2, 2, 8})));
  EXPECT_EQ(describe_model(file).parameter_count, 6);
}

TEST(ExporterNotes, AnExportHoldsBothCopiesOfATiedWeight) {
  testing::TemporaryFolder folder;
  const Tensor trained = Tensor::from<float>({3, 2}, {10, 20, 30, 40, 50, 60});
  export_model(parsed(tied_model()), {{"embedding", trained}}, folder.path() / "m.onnx");
  const ModelFile exported = load_model(folder.path() / "m.onnx");
  const auto& initializers = exported.contents().proto.graph().initializer();
  EXPECT_TRUE(tensor_of(initializers[1], {}, "head").identical(Tensor::from<float>({2, 3}, {10, 30, 50, 20, 40, 60})));
}

TEST(ExporterNotes, SoDoesOneOfAModelThatForgotItsValues) {
  testing::TemporaryFolder folder;
  const Tensor trained = Tensor::from<float>({3, 2}, {10, 20, 30, 40, 50, 60});
  ModelFile file = parsed(tied_model());
  file.forget_values({"embedding"});
  export_model(
      file, {"embedding"}, [&](const std::string&) { return trained_value(trained); }, folder.path() / "m.onnx");
  const ModelFile exported = load_model(folder.path() / "m.onnx");
  const auto& initializers = exported.contents().proto.graph().initializer();
  EXPECT_TRUE(tensor_of(initializers[1], {}, "head").identical(Tensor::from<float>({2, 3}, {10, 30, 50, 20, 40, 60})));
}

TEST(ExporterNotes, ATurnedCopyWithANameThatTheOlderExporterMadeIsTiedToo) {
  pb::ModelProto model = tied_model();
  model.mutable_graph()->clear_value_info();
  EXPECT_EQ(import_model(parsed(model), {.symbols = {{"N", 2}}}).states.size(), 2U);
  model.mutable_graph()->mutable_initializer(1)->set_name("onnx::MatMul_17");
  model.mutable_graph()->mutable_node(1)->set_input(1, "onnx::MatMul_17");
  EXPECT_EQ(import_model(parsed(model), {.symbols = {{"N", 2}}}).states.size(), 1U);
}

TEST(ExporterNotes, ATensorOfTheOlderExporterThatMayBeAParameterIsWarnedOf) {
  ModelWriter writer("positions");
  const std::string x = writer.input("x", DType::f32, {"N", 2});
  const std::string position = writer.initializer("encoder.position", Tensor::from<float>({1, 2}, {1, 2}));
  writer.output(writer.node("Add", {x, position}, "add", {}, "output"), DType::f32, {"N", 2});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  EXPECT_THAT(training_warnings(parsed(model)), IsEmpty());
  model.set_producer_name("pytorch");
  EXPECT_THAT(training_warnings(parsed(model)), ::testing::ElementsAre(HasSubstr("encoder.position")));
}

TEST(ExporterNotes, ANoteOfATieThatTheNumbersContradictIsNotBelieved) {
  const Model model = import_model(parsed(tied_model(7)), {.symbols = {{"N", 2}}});
  EXPECT_EQ(model.states.size(), 2U);
}

TEST(ExporterNotes, AParameterOutsideOfAnyWeightSlotIsTrainedAndABufferInsideOfOneIsNot) {
  ModelWriter writer("positions");
  std::string x = writer.input("x", DType::f32, {"N", 2});
  x = writer.node("Add", {x, writer.initializer("position", Tensor::from<float>({1, 2}, {1, 2}))}, "add");
  const std::string table = writer.initializer("table", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  writer.output(writer.node("MatMul", {x, table}, "turn", {}, "output"), DType::f32, {"N", 2});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  note_kind(model, "position", "PARAMETER");
  note_kind(model, "table", "BUFFER");
  const auto verdicts = judge_initializers(parsed(model));
  EXPECT_EQ(verdicts[0].kind, InitializerKind::parameter);
  EXPECT_EQ(verdicts[1].kind, InitializerKind::constant);
  EXPECT_EQ(judge_initializers(parsed(model), {"table"}, {"position"})[1].kind, InitializerKind::parameter);
}

pb::ModelProto convolution() {
  ModelWriter writer("conv");
  const std::string x = writer.input("x", DType::f32, {"N", 1, 2, 2});
  const std::string w = writer.initializer("w", Tensor::from<float>({1, 1, 1, 1}, {2}));
  writer.output(writer.node("Conv", {x, w}, "conv", {}, "output"), DType::f32, {"N", 1, 2, 2});
  return std::move(writer).finish().contents().proto;
}

TEST(ExporterNotes, FoldedBatchNormalisationIsWarnedOfWithARemedy) {
  pb::ModelProto model = convolution();
  EXPECT_THAT(training_warnings(parsed(model)), IsEmpty());
  note(*model.mutable_graph()->mutable_node(0), 9, "pkg.onnxscript.rewriter.rule_name",
       "RemoveOptionalBiasFromConv, FuseBatchNormIntoConv");
  const auto warnings = training_warnings(parsed(model));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("folded 1 batch normalisation into"));
  EXPECT_THAT(warnings[0], HasSubstr("optimize=False"));
  EXPECT_THAT(to_text(describe_model(parsed(model))), HasSubstr("warning: the exporter folded"));
}

TEST(ExporterNotes, ParametersThatTheExporterMergedAreWarnedOf) {
  ModelWriter writer("merged");
  std::string x = writer.input("x", DType::f32, {"N", 2});
  const std::string bias = writer.initializer("a.bias", Tensor(DType::f32, {2}));
  for (const char* name : {"a", "b"}) {
    const std::string w = writer.initializer(name + std::string(".weight"), Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
    x = writer.node("Gemm", {x, w, bias}, name);
  }
  writer.output(x, DType::f32, {"N", 2});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  for (const char* name : {"a.bias", "a.weight", "b.weight"}) note_kind(model, name, "PARAMETER");
  EXPECT_THAT(training_warnings(parsed(model)), IsEmpty());
  std::string signature;
  for (const std::string name : {"a.bias", "b.bias", "a.weight", "b.weight"})
    signature += "p_" + name + ": PARAMETER target='" + name + "'\n";
  note(*model.mutable_graph(), 16, "pkg.torch.export.ExportedProgram.graph_signature", signature);
  const auto warnings = training_warnings(parsed(model));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0], HasSubstr("'b.bias'"));
}

}  // namespace
}  // namespace weft::onnx
