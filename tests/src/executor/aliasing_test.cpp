// Random steps of many states, views, fetches and collectives: whatever shares memory, the values are the
// interpreter's, and no state changes before the guarding fetch is made. The collectives are those of two equal ranks,
// and until one is waited for its memory holds rubbish.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/rewrite.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/executor/executor.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Values = std::map<std::string, Tensor>;

constexpr std::byte kRubbish{0xff};  // as a float: NaN

/// Sums over two ranks that hold the same, delivered when they are waited for.
class TwinCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int node_rank() const override { return 0; }
  int node_size() const override { return 1; }
  bool accepts(CollectiveKind, MemorySpace, DType, std::string*) const override { return true; }

  std::unique_ptr<Request> start_all_reduce(const std::byte* from, std::byte* to, std::int64_t count, DType type,
                                            ReduceKind, OperationLabel label) override {
    EXPECT_EQ(type, DType::f32);
    EXPECT_GE(label.sequence, sequence_) << "started out of order";
    sequence_ = label.sequence;
    return std::make_unique<Late>(from, to, count);
  }
  void begin_step() { sequence_ = 0; }

  std::unique_ptr<Request> start_all_gather(const std::byte*, std::byte*, std::int64_t, DType,
                                            OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Request> start_reduce_scatter(const std::byte*, std::byte*, std::int64_t, DType, ReduceKind,
                                                OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Request> start_all_to_all(const std::byte*, std::byte*, std::int64_t, DType,
                                            OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Request> start_broadcast(std::byte*, std::int64_t, int, OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Request> start_send(const std::byte*, std::int64_t, int, OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Request> start_receive(std::byte*, std::int64_t, int, OperationLabel) override {
    throw InternalError("not lowered");
  }
  std::unique_ptr<Communicator> split(int, int) override { throw InternalError("one group only"); }

 private:
  class Late final : public Request {
   public:
    Late(const std::byte* from, std::byte* to, std::int64_t count) : to_(to), sum_(static_cast<std::size_t>(count)) {
      std::copy_n(reinterpret_cast<const float*>(from), count, sum_.begin());
      for (float& x : sum_) x += x;
      std::fill_n(to, sum_.size() * sizeof(float), kRubbish);
    }
    ~Late() override { deliver(); }
    bool done() override { return false; }
    void wait() override { deliver(); }

   private:
    void deliver() {
      if (to_ != nullptr) std::ranges::copy(sum_, reinterpret_cast<float*>(to_));
      to_ = nullptr;
    }
    std::byte* to_;
    std::vector<float> sum_;
  };
  int sequence_ = 0;
};

Graph with_doubled_instead_of_reduced(const Graph& graph) {
  return rewritten(graph, [](GraphBuilder& b, const Node& node) -> std::optional<std::vector<ValueId>> {
    if (node.op != Op::all_reduce) return std::nullopt;
    return std::vector<ValueId>{b.add(node.inputs[0], node.inputs[0])};
  });
}

Tensor random_tensor(const Shape& shape, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 0.5F);
  Tensor t(DType::f32, shape);
  for (float& x : t.mutable_values<float>()) x = normal(random);
  return t;
}

/// A random step over states "s0" … and the feed "x".
class RandomStep {
 public:
  explicit RandomStep(unsigned seed) : random_(seed) {
    static const Shape kShapes[] = {{4, 6}, {24}, {1, 24}, {2, 3, 4}, {8, 16}, {5}, {0, 3}, {1}};
    shape_ = kShapes[random_() % std::size(kShapes)];
    pool_.push_back(b_.input("x", InputRole::feed, {DType::f32, shape_}));
    states_ = 1 + pick(5);
    for (std::size_t s = 0; s < states_; ++s)
      pool_.push_back(b_.input(name(s), InputRole::state, {DType::f32, shape_}));
    for (std::size_t i = 4 + pick(30); i > 0; --i) append();
    add_outputs();
  }

  const Graph& graph() const { return b_.graph(); }
  Values inputs() {
    Values values;
    for (const GraphInput& i : b_.graph().inputs()) values[i.name] = random_tensor(shape_, random_);
    return values;
  }

 private:
  std::size_t pick(std::size_t n) { return random_() % n; }
  ValueId any() { return pool_[pick(pool_.size())]; }
  static std::string name(std::size_t state) { return "s" + std::to_string(state); }

  void append() {
    const Shape flat{shape_.elements()};
    const auto bounded = [&](ValueId v) { return b_.unary(Op::tanh, v); };
    const ValueId v = any();
    switch (pick(10)) {
      case 0: pool_.push_back(b_.add(v, any())); break;
      case 1: pool_.push_back(b_.mul(bounded(v), any())); break;
      case 2: pool_.push_back(bounded(v)); break;
      case 3: pool_.push_back(b_.reshape(b_.unary(Op::relu, b_.reshape(v, flat)), shape_)); break;
      case 4: pool_.push_back(b_.sub(v, b_.reduce(Op::reduce_sum, bounded(any()), {0}, true))); break;
      case 5: pool_.push_back(b_.unary(Op::stop_gradient, v)); break;
      case 6:
        pool_.push_back(b_.reshape(b_.node(Op::reverse, {b_.reshape(v, flat)}, {{"dims", Dims{0}}})[0], shape_));
        break;
      case 7: pool_.push_back(b_.one(Op::after, {v, any()})); break;
      default:
        pool_.push_back(b_.mul(
            b_.one(Op::all_reduce, {v}, {{"axes", std::vector<std::string>{"data"}}, {"kind", std::string("sum")}}),
            b_.like(v, 0.4)));
    }
  }

  void add_outputs() {
    for (std::size_t s = 0; s < states_; ++s)
      if (pick(8) != 0) b_.output(name(s), OutputRole::state, any());
    for (std::size_t f = pick(4); f > 0; --f) {
      const ValueId v = any();
      b_.output("f" + std::to_string(f), OutputRole::fetch,
                pick(2) != 0 ? v : b_.reshape(v, Shape{1, shape_.elements()}));
    }
    b_.output("sum", OutputRole::fetch, b_.reduce(Op::reduce_sum, b_.reshape(any(), Shape{shape_.elements()}), {0}));
  }

  std::mt19937 random_;
  GraphBuilder b_;
  Shape shape_;
  std::size_t states_ = 0;
  std::vector<ValueId> pool_;
};

void expect_near(const Values& actual, const Values& expected) {
  for (const auto& [name, e] : expected) {
    const Tensor& a = actual.at(name);
    ASSERT_EQ(a.shape(), e.shape()) << name;
    double scale = 1;
    for (std::int64_t i = 0; i < e.elements(); ++i) scale = std::max(scale, std::abs(e.as_double(i)));
    for (std::int64_t i = 0; i < e.elements(); ++i)
      ASSERT_NEAR(a.as_double(i), e.as_double(i), 2e-5 * scale) << name << "[" << i << "]";
  }
}

int first_write(const Program& program, BufferKind kind, std::string_view name = {}) {
  for (std::size_t n = 0; n < program.instructions.size(); ++n)
    for (const View& v : program.instructions[n].writes) {
      const Buffer& b = program.buffers[static_cast<std::size_t>(v.buffer)];
      if (b.kind == kind && (name.empty() || b.name == name)) return static_cast<int>(n);
    }
  return static_cast<int>(program.instructions.size());
}

void expect_two_steps_as_interpreted(const Graph& graph, Values inputs, std::int64_t bucket_bytes, Device& device) {
  LoweringOptions options;
  options.bucket_bytes = bucket_bytes;
  options.guard = "sum";
  Program program = lower(graph, device.oracle(), options).program;
  EXPECT_LT(first_write(program, BufferKind::fetch, "sum"), first_write(program, BufferKind::state));
  StateTable states(device);
  for (const GraphInput& i : graph.inputs())
    if (i.role == InputRole::state) states.add(i.name, inputs.at(i.name));
  KernelCache cache(device);
  ArenaPool arena(device);
  TwinCommunicator world;
  CommunicatorSet groups(world, Mesh{{{"data", 1}}});
  const std::int64_t bytes = program.arena_bytes[0];
  arena.reserve(bytes, MemorySpace::host);
  Executor executor(std::move(program), device, states, cache, arena, &groups);
  const Graph oracle = with_doubled_instead_of_reduced(graph);
  for (int step = 1; step <= 2; ++step) {
    SCOPED_TRACE(step);
    if (bytes > 0)
      std::memset(arena.data(MemorySpace::host), static_cast<int>(kRubbish), static_cast<std::size_t>(bytes));
    if (executor.has_feed("x")) executor.bind("x", inputs.at("x"));
    world.begin_step();
    executor.run(step);
    const Values expected = interpret(oracle, inputs);
    Values actual;
    for (const GraphOutput& o : graph.outputs())
      actual[o.name] = o.role == OutputRole::state ? states.read(o.name) : executor.fetch(o.name);
    expect_near(actual, expected);
    for (const GraphOutput& o : graph.outputs())
      if (o.role == OutputRole::state) inputs[o.name] = actual.at(o.name);
  }
}

TEST(Aliasing, RandomStepsOfStatesViewsFetchesAndCollectivesAgreeWithTheInterpreter) {
  auto device = make_cpu_device({});
  for (unsigned seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(seed);
    RandomStep step(seed);
    expect_two_steps_as_interpreted(step.graph(), step.inputs(), seed % 3 == 0 ? 1 : 64 << (seed % 5), *device);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace weft
