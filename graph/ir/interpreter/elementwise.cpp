// Elementwise operators, comparison and selection.
#include <cmath>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"

namespace weft::interpreter {
namespace {

using FloatFunction = double (*)(double);

double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

/// The f64 function of a float-only operator, or nullptr.
FloatFunction float_function(Op op) {
  switch (op) {
    case Op::exp: return [](double x) { return std::exp(x); };
    case Op::expm1: return [](double x) { return std::expm1(x); };
    case Op::log: return [](double x) { return std::log(x); };
    case Op::log1p: return [](double x) { return std::log1p(x); };
    case Op::sqrt: return [](double x) { return std::sqrt(x); };
    case Op::rsqrt: return [](double x) { return 1 / std::sqrt(x); };
    case Op::reciprocal: return [](double x) { return 1 / x; };
    case Op::sin: return [](double x) { return std::sin(x); };
    case Op::cos: return [](double x) { return std::cos(x); };
    case Op::tan: return [](double x) { return std::tan(x); };
    case Op::asin: return [](double x) { return std::asin(x); };
    case Op::acos: return [](double x) { return std::acos(x); };
    case Op::atan: return [](double x) { return std::atan(x); };
    case Op::sinh: return [](double x) { return std::sinh(x); };
    case Op::cosh: return [](double x) { return std::cosh(x); };
    case Op::asinh: return [](double x) { return std::asinh(x); };
    case Op::acosh: return [](double x) { return std::acosh(x); };
    case Op::atanh: return [](double x) { return std::atanh(x); };
    case Op::tanh: return [](double x) { return std::tanh(x); };
    case Op::erf: return [](double x) { return std::erf(x); };
    case Op::floor: return [](double x) { return std::floor(x); };
    case Op::ceil: return [](double x) { return std::ceil(x); };
    case Op::round_even: return [](double x) { return std::nearbyint(x); };
    case Op::neg: return [](double x) { return -x; };
    case Op::abs: return [](double x) { return std::abs(x); };
    case Op::sign: return sign_of;
    default: return nullptr;
  }
}

template <class W>
W integer_unary(Op op, W x) {
  const auto u = static_cast<std::uint64_t>(x);
  switch (op) {
    case Op::neg: return static_cast<W>(0 - u);
    case Op::abs: return x < W{} ? static_cast<W>(0 - u) : x;
    case Op::sign: return x > W{} ? W{1} : x < W{} ? static_cast<W>(-1) : W{};
    case Op::bit_not: return static_cast<W>(~u);
    case Op::logical_not: return static_cast<W>(u == 0);
    default: throw InternalError("interpreter: an integer operand of " + std::string(name_of(op)));
  }
}

template <class W>
W integer_power(W base, W exponent) {
  if (exponent < W{}) {  // only 1 and -1 have integer inverses
    if (base == W{1}) return W{1};
    return base == static_cast<W>(-1) ? (exponent % 2 == W{} ? W{1} : base) : W{};
  }
  W result{1};
  for (auto e = static_cast<std::uint64_t>(exponent); e != 0; e >>= 1) {
    if (e & 1) result = wide_mul(result, base);
    base = wide_mul(base, base);
  }
  return result;
}

double float_binary(Op op, double x, double y) {
  switch (op) {
    case Op::add: return x + y;
    case Op::sub: return x - y;
    case Op::mul: return x * y;
    case Op::div: return x / y;
    case Op::rem: return std::fmod(x, y);
    case Op::pow: return std::pow(x, y);
    case Op::maximum: return wide_max(x, y);
    case Op::minimum: return wide_min(x, y);
    default: throw InternalError("interpreter: floating-point operands of " + std::string(name_of(op)));
  }
}

template <class W>
W integer_binary(Op op, W x, W y, int bits) {
  const auto ux = static_cast<std::uint64_t>(x), uy = static_cast<std::uint64_t>(y);
  const bool minus_one = std::is_signed_v<W> && y == static_cast<W>(-1);  // the lowest value over it overflows
  switch (op) {
    case Op::add: return wide_add(x, y);
    case Op::sub: return static_cast<W>(ux - uy);
    case Op::mul: return wide_mul(x, y);
    case Op::div: return y == W{} ? W{} : minus_one ? static_cast<W>(0 - ux) : x / y;
    case Op::rem: return y == W{} || minus_one ? W{} : x % y;
    case Op::pow: return integer_power(x, y);
    case Op::maximum: return wide_max(x, y);
    case Op::minimum: return wide_min(x, y);
    case Op::logical_and:
    case Op::bit_and: return static_cast<W>(ux & uy);
    case Op::logical_or:
    case Op::bit_or: return static_cast<W>(ux | uy);
    case Op::logical_xor:
    case Op::bit_xor: return static_cast<W>(ux ^ uy);
    case Op::shift_left: return uy >= static_cast<std::uint64_t>(bits) ? W{} : static_cast<W>(ux << uy);
    case Op::shift_right:
      return uy >= static_cast<std::uint64_t>(bits) ? (x < W{} ? static_cast<W>(-1) : W{}) : static_cast<W>(x >> uy);
    default: throw InternalError("interpreter: integer operands of " + std::string(name_of(op)));
  }
}

template <class W>
bool compare(Op op, W x, W y) {
  switch (op) {
    case Op::equal: return x == y;
    case Op::not_equal: return x != y;
    case Op::less: return x < y;
    case Op::less_equal: return x <= y;
    case Op::greater: return x > y;
    default: return x >= y;
  }
}

}  // namespace

Tensor evaluate_unary(const Node& node, Operands operands) {
  const Tensor& x = operands[0];
  switch (node.op) {
    case Op::cast: return x.cast(node.attributes.dtype("dtype"));
    case Op::stop_gradient:
    case Op::reorder: return x;
    case Op::is_nan:
    case Op::is_inf: {
      const std::vector<double> values = widen<double>(x);
      Tensor result(DType::boolean, x.shape());
      auto to = result.mutable_values<bool>();
      for (std::size_t i = 0; i < to.size(); ++i)
        to[i] = node.op == Op::is_nan ? std::isnan(values[i]) : std::isinf(values[i]);
      return result;
    }
    default: break;
  }
  return visit_wide(x.dtype(), [&]<class W>(TypeTag<W>) {
    std::vector<W> values = widen<W>(x);
    if constexpr (std::is_same_v<W, double>) {
      const FloatFunction function = float_function(node.op);
      for (double& v : values) v = function(v);
    } else {
      for (W& v : values) v = integer_unary(node.op, v);
    }
    return narrow(x.dtype(), x.shape(), values);
  });
}

Tensor evaluate_binary(const Node& node, Operands operands) {
  const DType type = operands[0].dtype();
  const int bits = static_cast<int>(size_of(type)) * 8;
  return visit_wide(type, [&]<class W>(TypeTag<W>) {
    std::vector<W> x = widen<W>(operands[0]);
    const std::vector<W> y = widen<W>(operands[1]);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if constexpr (std::is_same_v<W, double>)
        x[i] = float_binary(node.op, x[i], y[i]);
      else
        x[i] = integer_binary(node.op, x[i], y[i], bits);
    }
    return narrow(type, operands[0].shape(), x);
  });
}

Tensor evaluate_compare(const Node& node, Operands operands) {
  Tensor result(DType::boolean, operands[0].shape());
  visit_wide(operands[0].dtype(), [&]<class W>(TypeTag<W>) {
    const std::vector<W> x = widen<W>(operands[0]), y = widen<W>(operands[1]);
    auto to = result.mutable_values<bool>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = compare(node.op, x[i], y[i]);
  });
  return result;
}

Tensor evaluate_select(Operands operands) {
  const auto condition = operands[0].values<bool>();
  Tensor result = operands[2];
  visit_dtype(result.dtype(), [&]<class T>(TypeTag<T>) {
    const auto x = operands[1].values<T>();
    auto to = result.mutable_values<T>();
    for (std::size_t i = 0; i < to.size(); ++i)
      if (condition[i]) to[i] = x[i];
  });
  return result;
}

}  // namespace weft::interpreter
