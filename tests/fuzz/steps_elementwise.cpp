// Steps that keep the shape: pointwise operators, casts, selections, dropout.
#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

/// x moved into the domain of a function, most of the time.
ValueId in_domain(Drawing& d, Op op, ValueId x) {
  GraphBuilder& b = d.b;
  if (d.dice.chance(15)) return x;
  switch (op) {
    case Op::log:
    case Op::log1p:
    case Op::sqrt:
    case Op::rsqrt:
    case Op::reciprocal: return b.add(b.unary(Op::abs, x), b.like(x, 0.25));
    case Op::acosh: return b.add(b.unary(Op::abs, x), b.like(x, 1.25));
    case Op::asin:
    case Op::acos:
    case Op::atanh: return b.mul(b.unary(Op::tanh, x), b.like(x, 0.75));
    case Op::exp:
    case Op::expm1:
    case Op::sinh:
    case Op::cosh:
    case Op::tan: return d.dice.chance(50) ? x : b.unary(Op::tanh, x);
    default: return x;
  }
}

ValueId float_unary(Drawing& d, ValueId x) {
  const Op op =
      d.dice.pick({Op::neg,  Op::abs,     Op::sign,       Op::exp,  Op::expm1,      Op::log,   Op::log1p,
                   Op::sqrt, Op::rsqrt,   Op::reciprocal, Op::sin,  Op::cos,        Op::tan,   Op::asin,
                   Op::acos, Op::atan,    Op::sinh,       Op::cosh, Op::asinh,      Op::acosh, Op::atanh,
                   Op::tanh, Op::erf,     Op::floor,      Op::ceil, Op::round_even, Op::relu,  Op::relu,
                   Op::relu, Op::sigmoid, Op::softplus,   Op::gelu, Op::gelu,       Op::silu,  Op::stop_gradient});
  if (op == Op::gelu) return d.b.one(op, {x}, {{"approximate", std::string(d.dice.chance(50) ? "none" : "tanh")}});
  return d.b.unary(op, in_domain(d, op, x));
}

ValueId unary(Drawing& d, ValueId x) {
  const DType type = d.b.dtype(x);
  if (type == DType::boolean) return d.b.unary(Op::logical_not, x);
  if (is_integer(type)) return d.b.unary(d.dice.pick({Op::neg, Op::abs, Op::sign, Op::bit_not}), x);
  if (d.dice.chance(5)) return d.b.unary(d.dice.pick({Op::is_nan, Op::is_inf}), x);
  return float_unary(d, x);
}

ValueId binary(Drawing& d, ValueId x) {
  GraphBuilder& b = d.b;
  const DType type = b.dtype(x);
  ValueId y = d.operand_for(x);
  if (type == DType::boolean) return b.binary(d.dice.pick({Op::logical_and, Op::logical_or, Op::logical_xor}), x, y);
  if (is_integer(type) && d.dice.chance(30))
    return b.binary(d.dice.pick({Op::bit_and, Op::bit_or, Op::bit_xor, Op::shift_left, Op::shift_right}), x, y);
  const Op op = d.dice.pick({Op::add, Op::add, Op::add, Op::sub, Op::sub, Op::mul, Op::mul, Op::mul, Op::div,
                             Op::maximum, Op::minimum, Op::rem, Op::pow});
  if (op == Op::div && is_float(type) && d.dice.chance(80)) y = b.add(b.unary(Op::abs, y), b.like(y, 0.5));
  if (op == Op::pow && is_float(type))
    return b.binary(op, d.dice.chance(80) ? b.add(b.unary(Op::abs, x), b.like(x, 0.25)) : x, y);
  return d.dice.chance(50) ? b.binary(op, x, y) : b.binary(op, y, x);
}

ValueId comparison(Drawing& d, ValueId x) {
  const bool number = d.b.dtype(x) != DType::boolean;
  const Op op = number
                    ? d.dice.pick({Op::equal, Op::not_equal, Op::less, Op::less_equal, Op::greater, Op::greater_equal})
                    : d.dice.pick({Op::equal, Op::not_equal});
  return d.b.binary(op, x, d.operand_for(x));
}

ValueId selection(Drawing& d, ValueId x) {
  auto condition = d.dice.chance(50) ? d.any_of(DType::boolean, d.b.shape(x)) : std::nullopt;
  if (!condition) condition = comparison(d, x);
  return d.b.select(*condition, d.operand_for(x), x);
}

ValueId cast(Drawing& d, ValueId x) {
  const DType to = d.dice.chance(80) ? d.float_type() : d.any_type();
  return d.b.cast(x, to);
}

}  // namespace

void draw_pointwise(Drawing& d) {
  ValueId x = d.any();
  for (std::int64_t length = d.dice.roll(1, 3); length > 0; --length) {
    const std::int64_t kind = d.dice.roll(0, 19);
    x = kind < 7    ? unary(d, x)
        : kind < 15 ? binary(d, x)
        : kind < 16 ? comparison(d, x)
        : kind < 18 ? selection(d, x)
                    : cast(d, x);
    d.add(x);
  }
}

void draw_random(Drawing& d) {
  const auto scalar = [&] { return d.fresh(Tensor::scalar<std::int64_t>(d.dice.roll(-5, 1000))); };
  const std::int64_t id = d.dice.roll(0, 9);
  if (d.dice.chance(30)) {
    const Shape shape = d.shape(0, 3);
    d.add(d.b.one(Op::random_bits, {scalar(), scalar(), scalar()},
                  {{"id", id}, {"shape", shape.extents()}, {"sample_dim", d.dice.roll(-1, shape.rank() - 1)}}));
    return;
  }
  const auto x = d.any_float();
  if (!x) return;
  Attributes attributes = {{"ratio", d.dice.pick({0.0, 0.1, 0.5, 0.9})},
                           {"id", id},
                           {"sample_dim", d.dice.roll(-1, d.b.shape(*x).rank() - 1)}};
  d.add(d.dice.chance(15) ? d.b.one(Op::dropout, {*x}, std::move(attributes))
                          : d.b.one(Op::dropout, {*x, scalar(), scalar(), scalar()}, std::move(attributes)));
}

}  // namespace weft::fuzz
