// Errors of what adds up: reductions, contractions, moments.
#include "tests/fuzz/error_rules.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ir/interpret.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {

Tensor sum_error(const Site& s, Tensor passed_on, const Tensor& size, double terms, bool exact) {
  const DType type = s.result_types[0].dtype;
  auto to = passed_on.mutable_values<double>();
  const auto sizes = size.values<double>();
  const auto value = s.results[0].values<double>();
  // Whatever the order, n terms are summed within (n - 1) units of the sum of their sizes, and equal terms come near
  // it: each addition may round the same way. In f64 the oracle sums in the same precision, so that both may be so far
  // off. Narrower types would leave a bound in which a lost term hides; their sums are held to what independent
  // roundings add up to, for reductions accumulate in f64, and drawn contractions are short.
  const double units = (type == DType::f64 ? 2 * terms : std::min(terms, 8 + 4 * std::sqrt(terms))) + 2;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (exact && to[i] == 0 && representable(value[i], type) && sizes[i] < 0x1p18) continue;
    // Partial sums may have overflowed.
    const double most = type == DType::f64 ? largest(DType::f64) : largest(DType::f32);
    if (sizes[i] > most / 2 && !std::isinf(sizes[i])) to[i] = kUndetermined;
    if (std::isfinite(sizes[i])) to[i] += units * unit_of_arithmetic(type) * sizes[i];
    to[i] = rounded(value[i], to[i], type, 1);
    // Small terms may have been flushed.
    if (sizes[i] > 0) to[i] += terms * smallest_normal(type == DType::f64 ? DType::f64 : DType::f32);
  }
  return passed_on;
}

bool coarse(const Bounded& x) {
  if (any_error(x.error)) return false;
  for (std::int64_t i = 0; i < x.value.elements(); ++i)
    if (const double v = x.value.as_double(i) * 8; v != std::floor(v)) return false;
  return true;
}

Tensor linear_error(const Site& s, std::size_t operand, double terms) {
  std::vector<Tensor> errors, sizes;
  for (std::size_t i = 0; i < s.operands.size(); ++i) {
    errors.push_back(i == operand ? s.operands[i].error : s.operands[i].value);
    sizes.push_back(i == operand ? absolute(s.operands[i].value) : s.operands[i].value);
  }
  if (!is_float(s.result_types[0].dtype)) {
    Tensor error = applied(s, errors);
    exact_or_nothing(error);
    return error;
  }
  return sum_error(s, applied(s, errors), applied(s, sizes), terms, coarse(s.operands[operand]));
}

/// Operators that are linear in both: |x| dy + dx |y| + dx dy.
Tensor product_error(const Site& s, double terms) {
  const Bounded &x = s.operands[0], &y = s.operands[1];
  const Tensor ax = absolute(x.value), ay = absolute(y.value);
  Tensor error(DType::f64, s.results[0].shape());
  const auto add = [&](const Tensor& t) {
    auto to = error.mutable_values<double>();
    const auto from = t.values<double>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  };
  if (any_error(x.error)) add(applied(s, {x.error, ay})), add(applied(s, {x.error, y.error}));
  if (any_error(y.error)) add(applied(s, {ax, y.error}));
  for (double& e : error.mutable_values<double>())
    if (std::isnan(e)) e = kUndetermined;
  if (!is_float(s.result_types[0].dtype)) {
    exact_or_nothing(error);
    return error;
  }
  return sum_error(s, std::move(error), applied(s, {ax, ay}), terms, !s.part_of_a_sum && coarse(x) && coarse(y));
}

double reduced_extent(const Site& s) {
  const double in = static_cast<double>(s.operands[0].value.elements());
  return in / std::max(1.0, static_cast<double>(s.results[0].elements()));
}

/// Elements that the result's maximum or minimum is taken from may move by the largest of their errors.
Tensor extreme_error(const Site& s) {
  Node node = s.wide;
  node.op = s.node.op == Op::reduce_window_max ? Op::reduce_window_max : Op::reduce_max;
  Tensor error = interpret_node(node, {{DType::f64, s.results[0].shape()}}, {s.operands[0].error})[0];
  for (double& e : error.mutable_values<double>()) e = std::max(e, 0.0);
  return error;
}

Tensor product_of_elements_error(const Site& s) {
  const DType type = s.result_types[0].dtype;
  const Bounded& x = s.operands[0];
  Tensor error(DType::f64, s.results[0].shape());
  if (!is_float(type)) {
    error = extreme_error(s);
    exact_or_nothing(error);
    return error;
  }
  Tensor size = absolute(x.value), reach = size, logs = size;
  auto r = reach.mutable_values<double>(), l = logs.mutable_values<double>();
  for (std::size_t i = 0; i < r.size(); ++i) {
    r[i] += x.error.values<double>()[i];
    l[i] = std::abs(std::log2(std::max(r[i], 1e-300)));
  }
  Node sum = s.wide;
  sum.op = Op::reduce_sum;
  const Tensor low = applied(s, {size}), high = applied(s, {reach});
  const Tensor spread = interpret_node(sum, {{DType::f64, s.results[0].shape()}}, {logs})[0];
  auto to = error.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    const double h = high.values<double>()[i];
    to[i] = h - low.values<double>()[i] + 1e-14 * h * (any_error(x.error) ? 1 : 0);
    if (spread.values<double>()[i] > (type == DType::f64 ? 900 : 100)) to[i] = kUndetermined;
    if (!any_error(x.error) && coarse(x) && spread.values<double>()[i] < 4 &&
        representable(s.results[0].values<double>()[i], type))
      continue;
    to[i] = rounded(s.results[0].values<double>()[i], to[i], type, reduced_extent(s) + 2);
  }
  return error;
}

Tensor reduction_error(const Site& s) {
  switch (s.node.op) {
    case Op::reduce_sum: return linear_error(s, 0, reduced_extent(s));
    case Op::reduce_prod: return product_of_elements_error(s);
    default: return extreme_error(s);
  }
}

double entries(const Dims& extents, std::size_t from = 0) {
  double product = 1;
  for (std::size_t i = from; i < extents.size(); ++i) product *= static_cast<double>(extents[i]);
  return product;
}

bool finite(const Bounded& x) {
  for (std::int64_t i = 0; i < x.value.elements(); ++i)
    if (!std::isfinite(x.value.as_double(i)) || std::isinf(x.error.as_double(i))) return false;
  return true;
}

Tensor contraction_error(const Site& s) {
  const Attributes& a = s.node.attributes;
  // Libraries multiply what is not finite with the zeros that they pad with, another sample's too.
  if (s.operands.size() == 2 && !(finite(s.operands[0]) && finite(s.operands[1])))
    return undetermined(s.results[0].shape());
  switch (s.node.op) {
    case Op::dot_general: {
      double terms = 1;
      for (const std::int64_t d : a.integers("x_contract"))
        terms *= static_cast<double>(s.operands[0].value.shape()[static_cast<int>(d)]);
      return product_error(s, terms);
    }
    case Op::conv_general:
    case Op::conv_data_grad: {
      const Dims& w = s.operands[1].value.shape().extents();
      return product_error(s, entries(w) / static_cast<double>(std::max<std::int64_t>(1, std::min(w[0], w[1]))));
    }
    case Op::conv_filter_grad: return product_error(s, entries(s.operands[1].value.shape().extents()));
    case Op::reduce_window_max: return extreme_error(s);
    case Op::reduce_window_max_grad:
      if (!order_is_certain(s.operands[0])) return undetermined(s.results[0].shape());
      return linear_error(s, 1, entries(a.integers("window")));
    default: return linear_error(s, 0, entries(a.integers("window")));
  }
}

/// Mean and variance. The mean may be found by its distance from some element, and the variance from differences to it.
std::vector<Tensor> moments_errors(const Site& s) {
  const Bounded& x = s.operands[0];
  const DType type = s.result_types[0].dtype;
  const Dims& dims = s.node.attributes.integers("dims");
  const TensorType reduced{DType::f64, s.results[0].shape()};
  const auto mean_of = [&](const Tensor& t) { return interpret_node(s.wide, {reduced, reduced}, {t})[0]; };
  const double terms = reduced_extent(s),
               unit = (std::min(terms, 8 + 4 * std::sqrt(terms)) + 4) * unit_of_arithmetic(type);
  Node extreme = s.wide;
  extreme.op = Op::reduce_max;
  const Tensor size = interpret_node(extreme, {reduced}, {absolute(x.value)})[0];
  Tensor mean = mean_of(x.error);
  auto to = mean.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += unit * size.values<double>()[i];
  // Errors of the differences, spread over x.
  Dims kept;
  for (int d = 0; d < x.value.shape().rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) kept.push_back(d);
  const auto spread = [&](const Tensor& t) {
    const Node node{Op::broadcast, {}, {{"shape", x.value.shape().extents()}, {"dims", kept}}, {}, {}, {}, {}};
    return interpret_node(node, {{DType::f64, x.value.shape()}}, {t})[0];
  };
  const Tensor centre = spread(s.results[0]), moved_by = spread(mean);
  Tensor squares = x.error;
  auto square = squares.mutable_values<double>();
  for (std::size_t i = 0; i < square.size(); ++i) {
    const double v = x.value.values<double>()[i], difference = std::abs(v - centre.values<double>()[i]);
    const double e = square[i] + moved_by.values<double>()[i] + 2 * unit_of_arithmetic(type) * std::abs(v);
    square[i] = 2 * difference * e + e * e;
  }
  Tensor variance = mean_of(squares);
  // An outlier that all differences are taken to costs its own square.
  Tensor farthest = x.value;
  for (std::size_t i = 0; i < square.size(); ++i)
    farthest.mutable_values<double>()[i] = std::abs(x.value.values<double>()[i] - centre.values<double>()[i]);
  farthest = interpret_node(extreme, {reduced}, {farthest})[0];
  auto v = variance.mutable_values<double>();
  for (std::size_t i = 0; i < v.size(); ++i) {
    const double most = type == DType::f64 ? largest(DType::f64) : largest(DType::f32);
    v[i] = s.results[1].values<double>()[i] * terms > most
               ? kUndetermined
               : v[i] + unit * farthest.values<double>()[i] * farthest.values<double>()[i];
    to[i] = rounded(s.results[0].values<double>()[i], to[i], type, 2);
    v[i] = rounded(s.results[1].values<double>()[i], v[i], type, 2);
  }
  return {mean, variance};
}

}  // namespace weft::fuzz
