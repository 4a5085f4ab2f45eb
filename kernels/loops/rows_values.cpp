// Values, in order of need.
#include "kernels/loops/rows_values.hpp"

#include <fmt/format.h>

#include "kernels/loops/math.hpp"

namespace weft::loops {

void RowsValues::move_to(Position position) {
  position_ = std::move(position);
  known_.assign(space_.values().size(), -1);
}

ExprId RowsValues::address(const Stream& stream) {
  ExprId sum = b_.integer(0);
  const auto step = [&](ExprId index, std::int64_t stride) {
    if (stride != 0) sum = b_.add(sum, b_.mul(index, b_.integer(stride)));
  };
  for (std::size_t l = 0; l < stream.outer.size(); ++l) step(position_.outer[l], stream.outer[l]);
  for (std::size_t l = 0; l < stream.reduced.size(); ++l) step(position_.reduced[l], stream.reduced[l]);
  step(position_.column, stream.column);
  return sum;
}

ExprId RowsValues::value(int v) {
  ExprId& known = known_[static_cast<std::size_t>(v)];
  if (known < 0) known = make(space_.values()[static_cast<std::size_t>(v)]);
  return known;
}

ExprId RowsValues::rounded(ExprId e, DType type) {
  return type == DType::f16 || type == DType::bf16 ? b_.round_to(e, type) : e;
}

ExprId RowsValues::constant(const SpaceValue& v) {
  const Tensor& literal = *v.node->literal;
  if (is_float(v.dtype)) return b_.real(literal.cast(DType::f64).values<double>()[0], v.dtype);
  return b_.integer(literal.cast(DType::i64).values<std::int64_t>()[0], v.dtype);
}

ExprId RowsValues::make(const SpaceValue& v) {
  const auto index = static_cast<std::size_t>(v.index);
  switch (v.kind) {
    case ValueKind::constant: return constant(v);
    case ValueKind::operand: return b_.load(operand_buffers_[index], address(nest_.operands[index]));
    case ValueKind::iota: return b_.cast(address(nest_.iotas[index]), v.dtype);
    case ValueKind::reduction: return b_.local(locals_[index][v.result]);
    case ValueKind::pointwise: break;
  }
  std::vector<ExprId> args;
  for (const int a : v.args) args.push_back(value(a));
  if (v.node->op == Op::cast) return b_.cast(args[0], v.dtype);
  if (!refusal_.empty()) return args[0];
  const ExprId result = pointwise(b_, *v.node, args);
  if (result >= 0) return rounded(result, v.dtype);
  const DType type = space_.values()[static_cast<std::size_t>(v.args.back())].dtype;
  refusal_ = fmt::format("{} of {} is not supported", name_of(v.node->op), name_of(type));
  return b_.integer(0, v.dtype);
}

}  // namespace weft::loops
