// Errors of elementwise operators, by moving operands to the corners of where they may be.
#include "tests/fuzz/error_rules.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ir/interpret.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

/// Units in the last place (of the arithmetic) that a function may be off.
constexpr double kFunctionUnits = 16;

/// |a - b|, 0 for equal infinities and for NaN twice.
double deviation(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  const double d = std::abs(a - b);
  return std::isnan(d) ? kUndetermined : d;
}

Tensor evaluated(const Site& s, const std::vector<Tensor>& operands) {
  std::vector<TensorType> types;
  for (const TensorType& t : s.result_types) types.push_back(widened(t));
  return interpret_node(s.wide, types, operands)[0];
}

/// Elements of floats, with their error added `sign` times; other types as they are.
Tensor moved(const Bounded& x, double sign) {
  if (x.value.dtype() != DType::f64) return x.value;
  Tensor result = x.value;
  auto to = result.mutable_values<double>();
  const auto error = x.error.values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += std::isinf(error[i]) ? 0 : sign * error[i];
  return result;
}

/// The largest deviation when operands move by their errors, all combinations of directions.
Tensor corner_error(const Site& s) {
  const Tensor& centre = s.results[0];
  Tensor error(DType::f64, centre.shape());
  auto to = error.mutable_values<double>();
  const bool any =
      std::any_of(s.operands.begin(), s.operands.end(), [](const Bounded& x) { return any_error(x.error); });
  for (unsigned corner = 0; any && corner < 1u << s.operands.size(); ++corner) {
    std::vector<Tensor> operands;
    for (std::size_t i = 0; i < s.operands.size(); ++i)
      operands.push_back(moved(s.operands[i], corner >> i & 1 ? 1 : -1));
    const Tensor there = evaluated(s, operands);
    for (std::size_t i = 0; i < to.size(); ++i)
      to[i] = std::max(to[i], deviation(there.as_double(static_cast<std::int64_t>(i)),
                                        centre.as_double(static_cast<std::int64_t>(i))));
  }
  for (const Bounded& x : s.operands) {
    const auto e = x.error.values<double>();
    for (std::size_t i = 0; i < to.size(); ++i)
      if (std::isinf(e[i])) to[i] = kUndetermined;
  }
  return error;
}

bool is_periodic(Op op) { return op == Op::sin || op == Op::cos || op == Op::tan; }
bool is_exact(Op op) {
  return op == Op::neg || op == Op::abs || op == Op::sign || op == Op::floor || op == Op::ceil ||
         op == Op::round_even || op == Op::maximum || op == Op::minimum || op == Op::stop_gradient || op == Op::reorder;
}
bool is_rounded_once(Op op) { return op == Op::add || op == Op::sub || op == Op::mul || op == Op::cast; }

/// Operators with a pole at zero of their last operand.
void break_poles(const Site& s, std::span<double> error) {
  const Op op = s.node.op;
  if (op != Op::div && op != Op::rem && op != Op::reciprocal && op != Op::rsqrt && op != Op::log && op != Op::pow)
    return;
  const Bounded& y = op == Op::pow ? s.operands.front() : s.operands.back();
  const auto value = y.value.values<double>(), e = y.error.values<double>();
  for (std::size_t i = 0; i < error.size(); ++i)
    if ((e[i] > 0 && std::abs(value[i]) <= 2 * e[i]) ||
        (op == Op::pow && value[i] < 0 && s.operands[1].error.values<double>()[i] > 0))  // odd, even, or neither
      error[i] = kUndetermined;
}

/// Whether x rem y has another quotient when its operands move.
void break_remainders(const Site& s, std::span<double> error) {
  const auto x = s.operands[0].value.values<double>(), y = s.operands[1].value.values<double>();
  const auto ex = s.operands[0].error.values<double>(), ey = s.operands[1].error.values<double>();
  for (std::size_t i = 0; i < error.size(); ++i) {
    if (ex[i] == 0 && ey[i] == 0) continue;
    const double q = x[i] / y[i], slack = (ex[i] + std::abs(q) * ey[i]) / std::max(std::abs(y[i]) - ey[i], 0.0);
    if (!(std::abs(q - std::round(q)) > 2 * slack + 1e-12 * std::abs(q))) error[i] = kUndetermined;
  }
}

}  // namespace

Tensor elementwise_error(const Site& s) {
  const DType type = s.result_types[0].dtype;
  Tensor error = corner_error(s);
  auto to = error.mutable_values<double>();
  if (!is_float(type)) {
    exact_or_nothing(error);
    return error;
  }
  const auto value = s.results[0].values<double>();
  const Op op = s.node.op;
  break_poles(s, to);
  if (op == Op::rem) break_remainders(s, to);
  if (is_exact(op)) return error;
  // Functions between rounded numbers: large arguments of periodic ones are reduced with an error of their own.
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool exact = to[i] == 0 && representable(value[i], type);
    if (exact && (is_rounded_once(op) || op == Op::rem)) continue;
    double units = is_rounded_once(op) ? 4 : kFunctionUnits;
    if (op == Op::pow) units += 4 * std::abs(std::log(std::max(std::abs(value[i]), 1e-300)));
    if (is_periodic(op)) {
      const double x = std::abs(s.operands[0].value.values<double>()[i]);
      const double e = s.operands[0].error.values<double>()[i];
      if (e > 0.3 || (op == Op::tan && e * std::abs(value[i]) > 0.1)) to[i] = kUndetermined;
      to[i] += 8 * std::max(x, 1.0) * unit_of_arithmetic(type) * (op == Op::tan ? 1 + value[i] * value[i] : 1);
    }
    to[i] = rounded(value[i], to[i], type, units);
  }
  return error;
}

/// To bool and to integers: not determined near where the result changes.
Tensor cast_error(const Site& s) {
  const TensorType& to = s.result_types[0];
  if (is_float(to.dtype) && (is_float(s.operand_types[0].dtype) || !any_error(s.operands[0].error)))
    return elementwise_error(s);
  Tensor error = corner_error(s);
  exact_or_nothing(error);
  if (to.dtype == DType::boolean && s.operands[0].value.dtype() == DType::f64)
    for (std::int64_t i = 0; i < error.elements(); ++i)
      if (const double e = s.operands[0].error.as_double(i); e > 0 && std::abs(s.operands[0].value.as_double(i)) <= e)
        error.mutable_values<double>()[static_cast<std::size_t>(i)] = kUndetermined;
  return error;
}

Tensor compare_error(const Site& s) {
  Tensor error(DType::f64, s.results[0].shape());
  auto to = error.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto n = static_cast<std::int64_t>(i);
    double e = 0, distance = kUndetermined;
    for (const Bounded& x : s.operands) e += x.error.as_double(n);
    if (s.operands.size() == 2)
      distance = std::abs(s.operands[0].value.as_double(n) - s.operands[1].value.as_double(n));
    if (e != 0 && (std::isinf(e) || distance <= e)) to[i] = kUndetermined;
  }
  return error;
}

Tensor select_error(const Site& s) {
  Tensor error = applied(s, {s.operands[0].value, s.operands[1].error, s.operands[2].error});
  auto to = error.mutable_values<double>();
  for (std::size_t i = 0; i < to.size(); ++i)
    if (s.operands[0].error.as_double(static_cast<std::int64_t>(i)) != 0) to[i] = kUndetermined;
  return error;
}

}  // namespace weft::fuzz
