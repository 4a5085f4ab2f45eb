// Models that an exporter wrote in training mode: the verb decides what they do, and what is exported infers.
#include <gtest/gtest.h>

#include <span>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/export.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "graph/onnx/proto.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::onnx {
namespace {

/// input [2, 1] -> batch normalisation in training mode -> dropout in training mode -> output; the new statistics and
/// the mask have names, as PyTorch's exporter gives them. Running mean 1, variance 4.
ModelFile exported_for_training(bool statistics_are_read) {
  ModelWriter writer("training");
  const std::string x = writer.input("input", DType::f32, {2, 1});
  std::vector<std::string> operands = {x};
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, float>>{{"w", 1}, {"b", 0}, {"mean", 1}, {"var", 4}})
    operands.push_back(writer.initializer(name, Tensor::from<float>({1}, {value})));
  const std::string y =
      writer.node("BatchNormalization", operands, "bn", {{"training_mode", std::int64_t{1}}, {"epsilon", 0.0}});
  const std::string ratio = writer.initializer("ratio", Tensor::from<float>({}, {0.5F}));
  const std::string training = writer.initializer("training", Tensor::full(DType::boolean, {}, 1));
  writer.output(writer.node("Dropout", {y, ratio, training}, "drop", {}, "output"), DType::f32, {2, 1});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  for (const char* name : {"new_mean", "new_var"}) {
    model.mutable_graph()->mutable_node(0)->add_output(name);
    if (!statistics_are_read) continue;
    auto& output = *model.mutable_graph()->add_output();
    output = model.graph().output(0);
    output.set_name(name);
    output.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim()->DeleteSubrange(0, 1);
  }
  model.mutable_graph()->mutable_node(1)->add_output("mask");
  const std::string bytes = model.SerializeAsString();
  return parse_model(std::as_bytes(std::span(bytes)), "training");
}

std::map<std::string, Tensor> run(const ModelFile& file) {
  const Model model = import_model(file, {});
  std::map<std::string, Tensor> arguments = {{"input", Tensor::from<float>({2, 1}, {3, 7})}};
  for (const ModelState& state : model.states) arguments[state.name] = state.initial.value();
  return interpret(model.forward, arguments);
}

TEST(TrainingMode, OutsideOfTrainingRunningStatisticsNormaliseAndNothingIsDropped) {
  EXPECT_TRUE(run(exported_for_training(false)).at("output").identical(Tensor::from<float>({2, 1}, {1, 3})));
}

TEST(TrainingMode, AModelThatReadsTheNewStatisticsIsTakenLiterally) {
  const auto results = run(exported_for_training(true));
  EXPECT_TRUE(results.at("output").identical(Tensor::from<float>({2, 1}, {-1, 1})));
  EXPECT_NEAR(results.at("new_mean").as_double(0), 0.9 * 1 + 0.1 * 5, 1e-6);
}

TEST(TrainingMode, AnExportInfersWhoeverRunsIt) {
  testing::TemporaryFolder folder;
  export_model(exported_for_training(false), {}, folder.path() / "trained.onnx");
  const ModelFile exported = load_model(folder.path() / "trained.onnx");
  const auto& nodes = exported.contents().proto.graph().node();
  for (const auto& node : nodes) EXPECT_EQ(node.output_size(), 1) << node.name();
  for (const auto& attribute : nodes[0].attribute())
    EXPECT_TRUE(attribute.name() != "training_mode" || attribute.i() == 0);
  EXPECT_EQ(nodes[1].input_size(), 2);
}

TEST(TrainingMode, AnExportOfAModelThatReadsTheNewStatisticsKeepsThem) {
  testing::TemporaryFolder folder;
  export_model(exported_for_training(true), {}, folder.path() / "trained.onnx");
  EXPECT_EQ(load_model(folder.path() / "trained.onnx").contents().proto.graph().node(0).output_size(), 3);
}

}  // namespace
}  // namespace weft::onnx
