// Optimiser steps of ai.onnx.preview.training; formulas are those of its operator reference.
#include <fmt/format.h>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

ValueId weighted(GraphBuilder& b, ValueId x, double factor) { return b.mul(x, b.like(x, factor)); }

/// Operands after (rate, step): `kinds` lists of equally many tensors.
std::vector<Values> tensor_lists(OpContext& c, int kinds) {
  const int count = (c.size() - 2) / kinds;
  if (count < 1 || c.size() != 2 + kinds * count)
    OpContext::unsupported(fmt::format("{} operands do not make {} lists", c.size(), kinds));
  std::vector<Values> lists(static_cast<std::size_t>(kinds));
  for (int k = 0; k < kinds; ++k)
    for (int i = 0; i < count; ++i) lists[static_cast<std::size_t>(k)].push_back(c.in(2 + k * count + i));
  return lists;
}

/// A scalar operand in the type of `like`.
ValueId scalar(OpContext& c, int operand, ValueId like) {
  return c.b.cast(c.b.reshape(c.in(operand), Shape{}), c.b.dtype(like));
}

ValueId first_step(OpContext& c) {
  const ValueId step = c.b.reshape(c.in(1), Shape{});
  return c.b.binary(Op::less_equal, step, c.b.like(step, 0));
}

ValueId regularized(OpContext& c, ValueId x, ValueId gradient) {
  return c.b.add(weighted(c.b, x, c.number("norm_coefficient", 0)), gradient);
}

Values joined(std::vector<Values> lists) {
  Values all;
  for (const Values& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

Values import_momentum(OpContext& c) {
  GraphBuilder& b = c.b;
  const std::vector<Values> lists = tensor_lists(c, 3);
  const double alpha = c.number("alpha", 0), beta = c.number("beta", 0);
  const std::string mode = c.text("mode", "standard");
  if (mode != "standard" && mode != "nesterov") OpContext::unsupported("unknown mode '" + mode + "'");
  Values xs, vs;
  for (std::size_t i = 0; i < lists[0].size(); ++i) {
    const ValueId x = lists[0][i], g = regularized(c, x, lists[1][i]);
    const ValueId weight = b.select(first_step(c), b.full(b.dtype(x), Shape{}, 1), b.full(b.dtype(x), Shape{}, beta));
    const ValueId v = b.add(weighted(b, lists[2][i], alpha), b.mul(g, weight));
    const ValueId direction = mode == "standard" ? v : b.add(g, weighted(b, v, alpha));
    xs.push_back(b.sub(x, b.mul(direction, scalar(c, 0, x))));
    vs.push_back(v);
  }
  return joined({xs, vs});
}

Values import_adagrad(OpContext& c) {
  GraphBuilder& b = c.b;
  const std::vector<Values> lists = tensor_lists(c, 3);
  Values xs, hs;
  for (std::size_t i = 0; i < lists[0].size(); ++i) {
    const ValueId x = lists[0][i], g = regularized(c, x, lists[1][i]);
    const ValueId one = b.full(b.dtype(x), Shape{}, 1);
    const ValueId decay = b.add(one, weighted(b, scalar(c, 1, x), c.number("decay_factor", 0)));
    const ValueId rate = b.div(scalar(c, 0, x), decay);
    const ValueId h = b.add(lists[2][i], b.mul(g, g));
    const ValueId root = b.add(b.unary(Op::sqrt, h), b.like(h, c.number("epsilon", 1e-6)));
    xs.push_back(b.sub(x, b.div(b.mul(g, rate), root)));
    hs.push_back(h);
  }
  return joined({xs, hs});
}

Values import_adam(OpContext& c) {
  GraphBuilder& b = c.b;
  const std::vector<Values> lists = tensor_lists(c, 4);
  const double alpha = c.number("alpha", 0.9), beta = c.number("beta", 0.999);
  Values xs, vs, hs;
  for (std::size_t i = 0; i < lists[0].size(); ++i) {
    const ValueId x = lists[0][i], g = regularized(c, x, lists[1][i]);
    const ValueId v = b.add(weighted(b, lists[2][i], alpha), weighted(b, g, 1 - alpha));
    const ValueId h = b.add(weighted(b, lists[3][i], beta), weighted(b, b.mul(g, g), 1 - beta));
    const ValueId rate = scalar(c, 0, x), step = scalar(c, 1, x), one = b.full(b.dtype(x), Shape{}, 1);
    const ValueId second = b.sub(one, b.binary(Op::pow, b.full(b.dtype(x), Shape{}, beta), step));
    const ValueId first = b.sub(one, b.binary(Op::pow, b.full(b.dtype(x), Shape{}, alpha), step));
    const ValueId corrected = b.div(b.mul(rate, b.unary(Op::sqrt, second)), first);
    const ValueId adjusted = b.select(first_step(c), rate, corrected);
    const ValueId root = b.add(b.unary(Op::sqrt, h), b.like(h, c.number("epsilon", 1e-6)));
    const ValueId moved = b.sub(x, b.div(b.mul(v, adjusted), root));
    xs.push_back(weighted(b, moved, 1 - c.number("norm_coefficient_post", 0)));
    vs.push_back(v);
    hs.push_back(h);
  }
  return joined({xs, vs, hs});
}

constexpr std::string_view kDomain = "ai.onnx.preview.training";
constexpr OpRow kOptimizerRows[] = {
    {"Momentum", import_momentum, 1, 1, kDomain},
    {"Adagrad", import_adagrad, 1, 1, kDomain},
    {"Adam", import_adam, 1, 1, kDomain},
};

}  // namespace

std::span<const OpRow> optimizer_rows() { return kOptimizerRows; }

}  // namespace weft::onnx
