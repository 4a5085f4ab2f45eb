// What verification finds in each form.
#include "graph/lowering/verify.hpp"

#include <gmock/gmock.h>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/verify.hpp"
#include "graph/lowering/body.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace lowering;
using ::testing::HasSubstr;

const TensorType kVector{DType::f32, Shape{4}};

template <class Function>
std::string complaint(Function function) {
  try {
    function();
  } catch (const InternalError& e) {
    return e.what();
  }
  return "";
}

TEST(VerifyGraph, FindsAResultOfAnotherTypeThanTheOperatorMakes) {
  Graph graph;
  const ValueId x = graph.add_input("x", InputRole::feed, kVector);
  const NodeId n = graph.append(Op::exp, {x}, {}, {{DType::f32, Shape{5}}}, "wrong");
  graph.add_output("y", OutputRole::fetch, graph.node(n).outputs[0]);
  EXPECT_THAT(complaint([&] { verify_graph(graph); }), HasSubstr("'wrong' (exp) makes f32[4]"));
}

TEST(VerifyGraph, FindsOperandsThatTheOperatorDoesNotTake) {
  Graph graph;
  const ValueId x = graph.add_input("x", InputRole::feed, kVector);
  const ValueId y = graph.add_input("y", InputRole::feed, {DType::f32, Shape{5}});
  graph.append(Op::add, {x, y}, {}, {kVector}, "sum");
  EXPECT_THAT(complaint([&] { verify_graph(graph); }), HasSubstr("'sum' (add) does not take its operands"));
}

/// x -> u0 -> t1 -> u1 -> t2, both kernels one negation.
LoweredGraph two_kernels() {
  LoweredGraph graph;
  for (const char* name : {"x", "t1", "t2"})
    graph.tensors.push_back(
        {name, BufferKind::arena, DType::f32, Layout::dense(kVector.shape), std::nullopt, -1, -1, 0});
  graph.tensors[0].kind = BufferKind::feed;
  for (int u = 0; u < 2; ++u) {
    GraphBuilder b;
    b.output("y", OutputRole::fetch, b.unary(Op::neg, b.input("x", InputRole::feed, kVector)));
    LoweredUnit unit;
    unit.name = "u" + std::to_string(u);
    unit.inputs = {u};
    unit.outputs = {u + 1};
    unit.spec.body = b.graph();
    graph.units.push_back(unit);
  }
  graph.fetches.emplace_back("t2", 2);
  return graph;
}

const std::vector<Step> kInOrder{{Step::Kind::run, 0, -1}, {Step::Kind::run, 1, -1}};

TEST(VerifyTensors, TakesWhatIsSoundAndFindsWhatIsNot) {
  EXPECT_NO_THROW(verify_tensors(two_kernels()));
  LoweredGraph outside = two_kernels();
  outside.tensors[1].storage = 0;
  outside.tensors[1].offset = 8;
  EXPECT_THAT(complaint([&] { verify_tensors(outside); }), HasSubstr("outside its memory"));
  LoweredGraph type = two_kernels();
  type.tensors[1].dtype = DType::i32;
  EXPECT_THAT(complaint([&] { verify_tensors(type); }), HasSubstr("'u0' has an operand of another type"));
  LoweredGraph twice = two_kernels();
  twice.units[1].outputs = {1};
  EXPECT_THAT(complaint([&] { verify_tensors(twice); }), HasSubstr("'u1' makes what exists already"));
  LoweredGraph nobody = two_kernels();
  nobody.units.erase(nobody.units.begin());
  EXPECT_THAT(complaint([&] { verify_tensors(nobody); }), HasSubstr("'u1' reads what no unit makes"));
}

TEST(VerifySchedule, FindsUnitsThatDoNotRunOnceOrRunTooEarly) {
  EXPECT_NO_THROW(verify_schedule(two_kernels(), kInOrder));
  EXPECT_THAT(complaint([&] { verify_schedule(two_kernels(), {kInOrder[0]}); }), HasSubstr("'u1' does not run"));
  EXPECT_THAT(complaint([&] {
                verify_schedule(two_kernels(), {kInOrder[1], kInOrder[0]});
              }),
              HasSubstr("'u1' reads what is not there"));
}

TEST(VerifySchedule, FindsContentsThatWereWrittenOver) {
  LoweredGraph graph = two_kernels();
  // t2 over x is fine while nobody reads x afterwards.
  graph.tensors[2].storage = 0;
  EXPECT_NO_THROW(verify_schedule(graph, kInOrder));
  graph.units.push_back(graph.units[0]);
  graph.units[2].name = "late reader";
  graph.tensors.push_back(graph.tensors[1]);
  graph.units[2].outputs = {3};
  EXPECT_THAT(complaint([&] {
                verify_schedule(graph, {kInOrder[0], kInOrder[1], {Step::Kind::run, 2, -1}});
              }),
              HasSubstr("'late reader' reads what is not there"));
}

TEST(VerifySchedule, FindsKernelsThatTouchMemoryInFlight) {
  LoweredGraph graph = two_kernels();
  graph.units[0].kind = UnitKind::collective;
  graph.tensors[1].storage = 0;
  const Step start{Step::Kind::run, 0, -1}, wait{Step::Kind::wait, 0, -1}, reader{Step::Kind::run, 1, -1};
  EXPECT_NO_THROW(verify_schedule(graph, {start, wait, reader}));
  EXPECT_THAT(complaint([&] { verify_schedule(graph, {start, reader, wait}); }), HasSubstr("a collective is using"));
  graph.units.pop_back();
  EXPECT_THAT(complaint([&] { verify_schedule(graph, {start}); }), HasSubstr("not waited for"));
}

TEST(VerifyUnits, FindsWhatNoUnitMakes) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kVector);
  const ValueId y = b.unary(Op::exp, x), z = b.unary(Op::neg, y);
  b.output("z", OutputRole::fetch, z);
  const Unit first = make_unit(b.graph(), {0}, {y}, "first"), second = make_unit(b.graph(), {1}, {z}, "second");
  EXPECT_NO_THROW(verify_units(b.graph(), {first, second}));
  EXPECT_THAT(complaint([&] { verify_units(b.graph(), {second}); }), HasSubstr("'second' reads what no unit makes"));
  EXPECT_THAT(complaint([&] { verify_units(b.graph(), {first, first}); }), HasSubstr("what another unit makes"));
}

}  // namespace
}  // namespace weft
