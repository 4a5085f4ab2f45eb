// Names and classes of operators.
#include "weft/op.hpp"

#include <array>
#include <utility>

namespace weft {
namespace {

constexpr std::array<std::pair<std::string_view, OpClass>, kOpCount> kOps = {{
#define WEFT_OP_ROW(identifier, op_class) {#identifier, OpClass::op_class},
    WEFT_OPS(WEFT_OP_ROW)
#undef WEFT_OP_ROW
}};

}  // namespace

std::string_view name_of(Op op) {
  std::string_view name = kOps[static_cast<std::size_t>(op)].first;
  if (name.ends_with('_')) name.remove_suffix(1);  // if_ and while_ are C++ keywords otherwise
  return name;
}

OpClass class_of(Op op) { return kOps[static_cast<std::size_t>(op)].second; }

std::optional<Op> op_from_name(std::string_view name) {
  for (int i = 0; i < kOpCount; ++i)
    if (name_of(static_cast<Op>(i)) == name) return static_cast<Op>(i);
  return std::nullopt;
}

bool is_pointwise(Op op) {
  switch (op) {
    case Op::relu:
    case Op::sigmoid:
    case Op::softplus:
    case Op::gelu:
    case Op::silu: return true;
    case Op::reorder: return false;
    default: break;
  }
  const OpClass c = class_of(op);
  return c == OpClass::unary || c == OpClass::binary || c == OpClass::compare || c == OpClass::ternary;
}

}  // namespace weft
