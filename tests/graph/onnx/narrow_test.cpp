// Element types of eight bits and fewer: codes to numbers, numbers to the nearest that they hold.
#include "graph/onnx/narrow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "graph/onnx/op_context.hpp"
#include "graph/onnx/proto.hpp"
#include "tests/support/message_of.hpp"

namespace weft::onnx {
namespace {

using ::testing::HasSubstr;

enum : std::int32_t { kE4M3FN = 17, kE4M3FNUZ = 18, kE5M2 = 19, kE5M2FNUZ = 20, kInt4 = 22, kE2M1 = 23, kInt2 = 26 };

Tensor all_codes(const NarrowType& type) {
  std::vector<std::byte> codes;
  for (int i = 0; i < 256; ++i) codes.push_back(static_cast<std::byte>(i));
  const std::int64_t count = 256 * 8 / type.bits;
  return decoded(type, Shape{count}, codes);
}

/// `x` rounded by the graph that import makes.
std::vector<double> rounded(std::int32_t type, const std::vector<float>& x, bool saturate) {
  GraphBuilder b;
  const auto count = static_cast<std::int64_t>(x.size());
  const ValueId input = b.input("x", InputRole::feed, {DType::f32, Shape{count}});
  b.output("y", OutputRole::fetch, narrowed(b, input, *narrow_type(type), saturate));
  const Tensor y = interpret(std::move(b).take(), {{"x", Tensor::from<float>(Shape{count}, x)}}).at("y");
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(y.as_double(i));
  return result;
}

TEST(NarrowTypes, CodesAreTheNumbersOfTheStandard) {
  const Tensor a = all_codes(*narrow_type(kE4M3FN)), b = all_codes(*narrow_type(kE5M2));
  EXPECT_EQ(a.as_double(0x7E), 448);
  EXPECT_EQ(a.as_double(0x01), std::ldexp(1, -9));
  EXPECT_EQ(a.as_double(0xB8), -1);
  EXPECT_TRUE(std::isnan(a.as_double(0x7F)));
  EXPECT_EQ(b.as_double(0x7B), 57344);
  EXPECT_EQ(b.as_double(0xFC), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(all_codes(*narrow_type(kE4M3FNUZ)).as_double(0x80)));
  EXPECT_EQ(all_codes(*narrow_type(kE5M2FNUZ)).as_double(0x7F), 57344);
  const Tensor c = all_codes(*narrow_type(kInt4));  // byte i holds i's low half, then its high half
  EXPECT_EQ(c.as_int(2 * 0x8F), -1);
  EXPECT_EQ(c.as_int(2 * 0x8F + 1), -8);
}

TEST(NarrowTypes, EveryNumberThatATypeHoldsRoundsToItself) {
  for (const std::int32_t id : {kE4M3FN, kE4M3FNUZ, kE5M2, kE5M2FNUZ, kE2M1}) {
    const Tensor codes = all_codes(*narrow_type(id));
    std::vector<float> finite;
    for (std::int64_t i = 0; i < codes.elements(); ++i)
      if (std::isfinite(codes.as_double(i))) finite.push_back(static_cast<float>(codes.as_double(i)));
    const std::vector<double> back = rounded(id, finite, false);
    for (std::size_t i = 0; i < finite.size(); ++i) EXPECT_EQ(back[i], finite[i]) << id;
  }
}

TEST(NarrowTypes, TiesGoToEvenAndWhatIsTooLargeSaturatesOrOverflows) {
  EXPECT_THAT(rounded(kE4M3FN, {1.0625F, 1.1875F, -17, 500, -1e9F}, true),
              ::testing::ElementsAre(1, 1.25, -16, 448, -448));
  EXPECT_TRUE(std::isnan(rounded(kE4M3FN, {500}, false)[0]));
  EXPECT_EQ(rounded(kE5M2, {1e9F}, false)[0], std::numeric_limits<double>::infinity());
  EXPECT_THAT(rounded(kInt2, {1, 2, 3, -3}, true), ::testing::ElementsAre(1, -2, -1, 1));
}

TEST(NarrowTypes, ArithmeticOnThemIsRefusedByName) {
  ModelWriter writer("sum");
  const std::string x = writer.input("x", DType::i8, {2});
  writer.output(writer.node("Add", {x, x}, "sum", {}, "y"), DType::i8, {2});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(kInt4);
  const std::string bytes = model.SerializeAsString();
  const ModelFile file = parse_model(std::as_bytes(std::span(bytes)), "sum");
  EXPECT_THAT(testing::message_of([&] { import_model(file, {}); }), HasSubstr("Add node 'sum': it computes on INT4"));
}

}  // namespace
}  // namespace weft::onnx
