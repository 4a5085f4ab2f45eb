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
Gradients draw_gradients(Drawing& d) {
  Gradients g;
  for (const GraphInput& input : d.b.graph().inputs())
    if (is_float(d.b.dtype(input.value)) && g.of.size() < 4 && d.dice.chance(70)) g.of.push_back(input.value);
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

}  // namespace

Case drawn_case(unsigned seed) {
  Drawing d(seed);
  const std::int64_t steps = d.dice.chance(10) ? d.dice.roll(8, 20) : d.dice.roll(1, 7);
  for (std::int64_t i = 0; i < steps; ++i) {
    draw_step(d);
    while (d.pool.size() > 1 && d.b.shape(d.pool.back()).elements() > Drawing::kMostElements) d.pool.pop_back();
  }
  const Gradients gradients = d.dice.chance(55) ? draw_gradients(d) : Gradients{};
  draw_updates(d, gradients);
  draw_outputs(d, gradients);
  return {std::move(d.b).take(), std::move(d.inputs)};
}

}  // namespace weft::fuzz
