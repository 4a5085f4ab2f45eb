// The builder infers types, broadcasts as NumPy does, and explains what does not fit.
#include "graph/ir/builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

using ::testing::AllOf;
using ::testing::HasSubstr;

ValueId feed(GraphBuilder& b, Shape shape, DType type = DType::f32) {
  return b.input(fmt::format("x{}", b.graph().inputs().size()), InputRole::feed, {type, std::move(shape)});
}

TEST(Builder, BroadcastsBothSidesOfABinaryOperator) {
  GraphBuilder b;
  const ValueId r = b.add(feed(b, {3, 1}), feed(b, {2, 1, 4}));
  EXPECT_EQ(b.shape(r), (Shape{2, 3, 4}));
  b.graph().verify();
}

TEST(Builder, MatmulFollowsNumpy) {
  GraphBuilder b;
  EXPECT_EQ(b.shape(b.matmul(feed(b, {2, 3}), feed(b, {3, 4}))), (Shape{2, 4}));
  EXPECT_EQ(b.shape(b.matmul(feed(b, {5, 2, 3}), feed(b, {3, 4}))), (Shape{5, 2, 4}));
  EXPECT_EQ(b.shape(b.matmul(feed(b, {2, 3}), feed(b, {7, 1, 3, 4}))), (Shape{7, 1, 2, 4}));
  EXPECT_EQ(b.shape(b.matmul(feed(b, {6, 2, 3}), feed(b, {7, 1, 3, 4}))), (Shape{7, 6, 2, 4}));
  EXPECT_EQ(b.shape(b.matmul(feed(b, {3}), feed(b, {3}))), Shape{});
  EXPECT_EQ(b.shape(b.matmul(feed(b, {3}), feed(b, {5, 3, 4}))), (Shape{5, 4}));
  EXPECT_EQ(b.shape(b.matmul(feed(b, {5, 2, 3}), feed(b, {3}))), (Shape{5, 2}));
}

TEST(Builder, ConvolutionExtentsCountPadsStridesAndDilations) {
  GraphBuilder b;
  const ValueId r = b.conv(feed(b, {2, 4, 9, 10}), feed(b, {6, 2, 3, 2}), {{2, 1}, {1, 0}, {1, -1}, {2, 3}, 2});
  EXPECT_EQ(b.shape(r), (Shape{2, 6, 4, 6}));
}

TEST(Builder, ErrorNamesOperatorNodeReasonAndOperandTypes) {
  GraphBuilder b;
  const ScopedName name(b, "/fc/bias");
  const ValueId x = feed(b, {2, 3}), y = feed(b, {2, 3}, DType::f64);
  EXPECT_THAT(message_of([&] { b.add(x, y); }), AllOf(HasSubstr("/fc/bias"), HasSubstr("operator add"),
                                                      HasSubstr("same element type"), HasSubstr("f64[2, 3]")));
  EXPECT_THAT(message_of([&] { b.add(x, feed(b, {2, 4})); }), AllOf(HasSubstr("/fc/bias"), HasSubstr("broadcast")));
}

TEST(Builder, UnknownAndMissingAttributesAreErrors) {
  GraphBuilder b;
  const ValueId x = feed(b, {2, 3});
  EXPECT_THAT(message_of([&] { b.node(Op::softmax, {x}, {{"axes", std::int64_t{1}}}); }), HasSubstr("'axes'"));
  EXPECT_THAT(message_of([&] { b.node(Op::softmax, {x}); }), HasSubstr("'axis'"));
  EXPECT_THAT(message_of([&] { b.node(Op::softmax, {x}, {{"axis", std::int64_t{2}}}); }), HasSubstr("[0, 1]"));
}

TEST(Builder, DotReadsATransposedOperandAsItLies) {
  GraphBuilder b;
  const ValueId x = feed(b, {2, 7, 3, 5}), w = feed(b, {4, 5});
  const ValueId heads = b.transpose(x, {0, 2, 1, 3});  // [2, 3, 7, 5]
  const Node& scores = *b.graph().producer(b.dot(heads, heads, {0, 1}, {0, 1}, {3}, {3}));
  EXPECT_EQ(scores.inputs, (std::vector<ValueId>{x, x}));
  EXPECT_EQ(scores.attributes.integers("x_batch"), (Dims{0, 2}));
  EXPECT_EQ(b.shape(scores.outputs[0]), (Shape{2, 3, 7, 7}));
  const ValueId product = b.matmul(feed(b, {6, 5}), b.transpose(w, {1, 0}));
  EXPECT_EQ(b.graph().producer(product)->inputs[1], w);
  EXPECT_EQ(b.shape(product), (Shape{6, 4}));
}

TEST(Builder, DotKeepsATransposeWithoutWhichItsOperandWereNoMatrix) {
  GraphBuilder b;
  const ValueId x = feed(b, {2, 7, 3}), y = feed(b, {3, 7, 2});
  const ValueId batched = b.transpose(x, {2, 0, 1});  // the batch would be what lies side by side
  EXPECT_EQ(b.graph().producer(b.dot(batched, batched, {0}, {0}, {2}, {2}))->inputs[0], batched);
  const ValueId turned = b.transpose(y, {2, 1, 0});  // its rows would be found in another order
  EXPECT_EQ(b.graph().producer(b.dot(turned, feed(b, {7, 4}), {}, {}, {1}, {0}))->inputs[0], turned);
}

TEST(Builder, InlinedCopiesNodesOverArguments) {
  GraphBuilder inner;
  const ValueId p = feed(inner, {2}), q = feed(inner, {2});
  inner.output("r", OutputRole::fetch, inner.sub(p, q));
  GraphBuilder outer;
  const ValueId a = feed(outer, {2}), c = feed(outer, {2});
  const std::vector<ValueId> r = outer.inlined(inner.graph(), {c, a});
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(outer.graph().producer(r[0])->inputs, (std::vector<ValueId>{c, a}));
}

TEST(Builder, ControlChecksItsBodies) {
  GraphBuilder then, otherwise;
  then.output("r", OutputRole::fetch, then.unary(Op::exp, feed(then, {2})));
  otherwise.output("r", OutputRole::fetch, otherwise.unary(Op::neg, feed(otherwise, {2})));
  GraphBuilder b;
  const ValueId condition = feed(b, {}, DType::boolean), x = feed(b, {2}), y = feed(b, {3});
  EXPECT_EQ(b.shape(b.control(Op::if_, {condition, x}, {then.graph(), otherwise.graph()})[0]), Shape{2});
  EXPECT_THAT(message_of([&] {
                b.control(Op::if_, {condition, y}, {then.graph(), otherwise.graph()});
              }),
              AllOf(HasSubstr("then body"), HasSubstr("f32[3]")));
}

}  // namespace
}  // namespace weft
