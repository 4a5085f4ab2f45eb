// Attention as one kernel beside attention as matrix products and a softmax: time and memory, forward and with
// gradient.
//
//     bench_attention [--quick] [--threads N] [--type f32|bf16] [--only NAME]
//
// JSON on standard output. For each shape `fused` is the operator attention, `library` the same from matrix products,
// scaling, mask and softmax, heads transposed as models write them; both go through the whole compiler. ms are the
// fastest of several runs on operands that are made once; gflops counts what causal attention needs, and half of the
// square; arena_mib is what the program plans beyond its operands and results.
#include <fmt/format.h>

#include <cmath>
#include <deque>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/executor/executor.hpp"
#include "tests/bench/measure.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

struct Case {
  const char* name;
  std::int64_t batch, heads, positions, features;
  bool causal;
};

constexpr Case kCases[] = {
    {"gpt2", 4, 12, 128, 64, true},  {"bert", 8, 12, 128, 64, false}, {"vit", 8, 12, 197, 64, false},
    {"1024", 1, 12, 1024, 64, true}, {"2048", 1, 12, 2048, 64, true}, {"2048 all", 1, 12, 2048, 64, false},
    {"4096", 1, 12, 4096, 64, true},
};

double scale_of(const Case& c) { return 1 / std::sqrt(static_cast<double>(c.features)); }

ValueId fused(GraphBuilder& b, const Case& c, ValueId q, ValueId k, ValueId v) {
  return b.node(Op::attention, {q, k, v},
                {{"scale", scale_of(c)},
                 {"causal", std::int64_t{c.causal}},
                 {"offset", std::int64_t{0}},
                 {"zero_masked", std::int64_t{0}}})[0];
}

ValueId composed(GraphBuilder& b, const Case& c, ValueId q, ValueId k, ValueId v) {
  const auto by_head = [&](ValueId x) { return b.transpose(x, {0, 2, 1, 3}); };
  ValueId s = b.matmul(by_head(q), b.transpose(k, {0, 2, 3, 1}));
  s = b.mul(s, b.like(s, scale_of(c)));
  if (c.causal) {
    const Shape square{1, 1, c.positions, c.positions};
    Tensor mask(DType::f32, square);
    for (std::int64_t i = 0; i < square.elements(); ++i)
      if (i % c.positions > i / c.positions)
        mask.mutable_values<float>()[static_cast<std::size_t>(i)] = -std::numeric_limits<float>::infinity();
    s = b.add(s, b.cast(b.constant(mask), b.dtype(s)));
  }
  return by_head(b.matmul(b.one(Op::softmax, {s}, {{"axis", std::int64_t{3}}}), by_head(v)));
}

Graph graph_of(const Case& c, DType type, bool is_fused, bool gradient) {
  GraphBuilder b;
  const TensorType each{type, {c.batch, c.positions, c.heads, c.features}};
  std::vector<ValueId> in;
  for (const char* name : {"q", "k", "v", "dy"}) in.push_back(b.input(name, InputRole::feed, each));
  const ValueId y = is_fused ? fused(b, c, in[0], in[1], in[2]) : composed(b, c, in[0], in[1], in[2]);
  b.output("y", OutputRole::fetch, y);
  if (!gradient) return std::move(b).take();
  const std::vector<ValueId> wrt(in.begin(), in.begin() + 3);
  int i = 0;
  for (const ValueId g : vector_jacobian(b, {y}, {in[3]}, wrt)) b.output(fmt::format("d{}", i++), OutputRole::fetch, g);
  return std::move(b).take();
}

Tensor drawn(const TensorType& type, unsigned seed) {
  Tensor t(DType::f32, type.shape);
  std::minstd_rand engine(seed);
  std::normal_distribution<float> normal;
  for (float& x : t.mutable_values<float>()) x = normal(engine);
  return t.cast(type.dtype);
}

Json measured(Device& device, const Graph& graph, double budget) {
  Program program = lower(graph, device.oracle(), {}).program;
  Json row;
  row["kernels"] = program.instructions.size();
  row["arena_mib"] =
      static_cast<double>(program.arena_bytes[0] + program.arena_bytes[1] + program.arena_bytes[2]) / (1 << 20);
  StateTable states(device);
  KernelCache cache(device);
  ArenaPool arena(device);
  for (const MemorySpace space : {MemorySpace::host, MemorySpace::pinned, MemorySpace::device})
    arena.reserve(program.arena_bytes[static_cast<int>(space)], space);
  Executor executor(std::move(program), device, states, cache, arena, nullptr);
  std::deque<Tensor> feeds;
  for (const GraphInput& i : graph.inputs())
    if (executor.has_feed(i.name)) {
      feeds.push_back(drawn(graph.type(i.value), static_cast<unsigned>(feeds.size()) + 1));
      executor.bind(i.name, feeds.back());
    }
  row["ms"] = 1e3 * bench::best_seconds(bench::Clock(device.target().threads), budget, [&] { executor.run(1); });
  return row;
}

Json measured_case(Device& device, const Case& c, DType type, double budget) {
  Json row;
  const double pairs =
      static_cast<double>(c.batch * c.heads * c.positions) * static_cast<double>(c.positions) / (c.causal ? 2 : 1);
  for (const bool gradient : {false, true})
    for (const bool is_fused : {false, true}) {
      Json one = measured(device, graph_of(c, type, is_fused, gradient), budget);
      const double flops = pairs * static_cast<double>(c.features) * (gradient ? 14 : 4);
      one["gflops"] = flops / one["ms"].get<double>() / 1e6;
      row[gradient ? "with_gradient" : "forward"][is_fused ? "fused" : "library"] = one;
    }
  return row;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  using namespace weft;
  double budget = 1;
  CpuOptions options;
  options.threads = 2;
  DType type = DType::f32;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--quick")
      budget = 0.2;
    else if (argument == "--threads" && more)
      options.threads = std::stoi(argv[++i]);
    else if (argument == "--type" && more)
      type = dtype_from_name(argv[++i]).value_or(DType::f32);
    else if (argument == "--only" && more)
      only = argv[++i];
    else
      return fmt::print(stderr, "bench_attention [--quick] [--threads N] [--type f32|bf16] [--only NAME]\n"), 2;
  }
  try {
    const auto device = make_cpu_device(options);
    nlohmann::ordered_json report;
    for (const Case& c : kCases)
      if (only.empty() || only == c.name) report[c.name] = measured_case(*device, c, type, budget);
    fmt::print("{}\n", report.dump(2));
  } catch (const Error& e) {
    fmt::print(stderr, "bench_attention: {}\n", e.what());
    return 1;
  }
}
