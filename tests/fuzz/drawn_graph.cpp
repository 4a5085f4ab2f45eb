// Drawing a case: steps, gradients, updates of states, outputs.
#include "tests/fuzz/drawn_graph.hpp"

#include <fmt/format.h>

#include "graph/ir/autodiff.hpp"
#include "tests/fuzz/drawing.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

struct Step {
  void (*draw)(Drawing&);
  int weight;
};

constexpr Step kSteps[] = {{draw_pointwise, 30},     {draw_movement, 18}, {draw_reduction, 14},
                           {draw_normalisation, 10}, {draw_product, 9},   {draw_convolution, 8},
                           {draw_window, 4},         {draw_indexing, 8},  {draw_random, 3}};

void draw_step(Drawing& d) {
  int total = 0;
  for (const Step& s : kSteps) total += s.weight;
  std::int64_t at = d.dice.roll(0, total - 1);
  for (const Step& s : kSteps)
    if ((at -= s.weight) < 0) return s.draw(d);
}

/// States are read by the graph and replaced by it: each update is some value that fits, or a step against a gradient.
struct Gradients {
  std::vector<ValueId> of, values;
};

/// Gradients of a few values by a few float inputs, where every operator between has one.
Gradients draw_gradients(Drawing& d, std::size_t most) {
  Gradients g;
  for (const GraphInput& input : d.b.graph().inputs())
    if (is_float(d.b.dtype(input.value)) && g.of.size() < most && d.dice.chance(70)) g.of.push_back(input.value);
  std::vector<ValueId> from, seeds;
  for (std::int64_t n = d.dice.roll(1, 2); n > 0; --n)
    if (const auto v = d.any_float(); v && std::find(from.begin(), from.end(), *v) == from.end()) from.push_back(*v);
  if (g.of.empty() || from.empty()) return {};
  GraphBuilder without = d.b;
  const auto inputs = d.inputs;
  try {
    for (const ValueId v : from)
      seeds.push_back(d.dice.chance(50) ? d.b.like(v, 1) : d.fresh(d.b.dtype(v), d.b.shape(v)));
    g.values = vector_jacobian(d.b, from, seeds, g.of);
    return g;
  } catch (const UserError&) {  // an operator without a gradient
    d.b = std::move(without), d.inputs = inputs;
    return {};
  }
}

/// As optimisers do, with one rate for all, so that small updates may share launches.
void draw_optimizer(Drawing& d, const Gradients& gradients) {
  GraphBuilder& b = d.b;
  const bool momentum = d.dice.chance(50);
  std::vector<GraphInput> states;
  for (const GraphInput& input : b.graph().inputs())
    if (input.role == InputRole::state) states.push_back(input);
  for (const GraphInput& state : states)
    for (std::size_t i = 0; i < gradients.of.size(); ++i) {
      if (gradients.of[i] != state.value) continue;
      ValueId g = gradients.values[i];
      if (momentum) {
        const ValueId m = d.weight(b.dtype(g), b.shape(g));
        g = b.add(b.mul(m, b.like(m, 0.5)), g);
        b.output(b.graph().inputs().back().name, OutputRole::state, g);
      }
      b.output(state.name, OutputRole::state, b.sub(state.value, b.mul(g, b.like(g, 0.125))));
    }
}

void draw_updates(Drawing& d, const Gradients& gradients) {
  std::vector<GraphInput> states;
  for (const GraphInput& input : d.b.graph().inputs())
    if (input.role == InputRole::state) states.push_back(input);
  for (const GraphInput& state : states) {
    ValueId next = kNone;
    for (std::size_t i = 0; i < gradients.of.size(); ++i)
      if (gradients.of[i] == state.value && d.dice.chance(80)) {
        const ValueId g = gradients.values[i];
        next = d.b.sub(state.value, d.b.mul(g, d.b.like(g, 0.125)));
      }
    if (next == kNone && d.dice.chance(30))
      if (const auto v = d.any_of(d.b.dtype(state.value), d.b.shape(state.value)); v && *v != state.value) next = *v;
    if (next != kNone) d.b.output(state.name, OutputRole::state, next);
  }
}

/// Values that nothing reads, and some others.
void draw_outputs(Drawing& d, const Gradients& gradients) {
  const auto users = d.b.graph().users();
  int n = 0;
  const auto fetch = [&](ValueId v) { d.b.output(fmt::format("y{}", n++), OutputRole::fetch, v); };
  for (const ValueId v : gradients.values) fetch(v);
  for (const ValueId v : d.pool)
    if (d.b.graph().producer(v) != nullptr && (users[static_cast<std::size_t>(v)].empty() || d.dice.chance(10)))
      fetch(v);
  if (n == 0) fetch(d.pool.back());
}

/// A piece of a network or an attention, a few steps around it, gradients by most of its weights.
Case drawn_network(Drawing& d) {
  for (std::int64_t i = d.dice.roll(0, 1); i > 0; --i) draw_step(d);
  const std::int64_t pieces = d.dice.chance(25) ? 2 : 1;
  for (std::int64_t i = 0; i < pieces; ++i) d.dice.chance(40) ? draw_attention(d) : draw_network(d);
  for (std::int64_t i = d.dice.roll(0, 3); i > 0; --i) draw_step(d);
  while (d.pool.size() > 1 && d.b.shape(d.pool.back()).elements() > Drawing::kMostElements) d.pool.pop_back();
  const bool forward = d.has_attention && d.dice.chance(40);
  const Gradients gradients = !forward && d.dice.chance(80) ? draw_gradients(d, 12) : Gradients{};
  d.dice.chance(70) ? draw_optimizer(d, gradients) : draw_updates(d, gradients);
  draw_outputs(d, gradients);
  const int narrow = static_cast<int>(d.dice.roll(0, 9));
  Case c{std::move(d.b).take(), std::move(d.inputs), forward, DType::f32};
  if (narrow < 2) c.compute = narrow == 0 || d.has_attention ? DType::f16 : DType::bf16;
  return c;
}

}  // namespace

Case drawn_case(unsigned seed) {
  Drawing d(seed);
  if (seed >= kFirstWithNetworks && d.dice.chance(60)) return drawn_network(d);
  const std::int64_t steps = d.dice.chance(10) ? d.dice.roll(8, 20) : d.dice.roll(1, 7);
  for (std::int64_t i = 0; i < steps; ++i) {
    draw_step(d);
    while (d.pool.size() > 1 && d.b.shape(d.pool.back()).elements() > Drawing::kMostElements) d.pool.pop_back();
  }
  const Gradients gradients = d.dice.chance(55) ? draw_gradients(d, 4) : Gradients{};
  draw_updates(d, gradients);
  draw_outputs(d, gradients);
  return {std::move(d.b).take(), std::move(d.inputs), false, DType::f32};
}

}  // namespace weft::fuzz
