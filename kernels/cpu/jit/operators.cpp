// Operators on LLVM values: arithmetic, comparisons, library calls. Conversions are in conversions.cpp.
#include "kernels/cpu/jit/operators.hpp"

#include <llvm/Analysis/VectorUtils.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <limits>

#include "weft/error.hpp"

namespace weft::cpu {
namespace {

[[noreturn]] void not_elementary(Op op, DType type) {
  throw InternalError("loop IR: the emitter has no operator " + std::string(name_of(op)) + " of " +
                      std::string(name_of(type)));
}

/// A constant, in one lane or all, that is not NaN.
bool is_number(llvm::Value* x) {
  auto* constant = llvm::dyn_cast<llvm::Constant>(x);
  if (constant && constant->getType()->isVectorTy()) constant = constant->getSplatValue();
  const auto* number = llvm::dyn_cast_or_null<llvm::ConstantFP>(constant);
  return number && !number->isNaN();
}

}  // namespace

std::string library_name(Op op, DType type) {
  if (!is_float(type) || !loops::is_library_function(op)) return {};
  const std::string name = op == Op::rem ? "fmod" : std::string(name_of(op));
  return type == DType::f64 ? name : name + "f";
}

llvm::Type* Operators::register_type(DType type, int lanes) const {
  llvm::Type* element = nullptr;
  if (type == DType::f64)
    element = builder_.getDoubleTy();
  else if (is_float(type))
    element = builder_.getFloatTy();
  else
    element = builder_.getIntNTy(type == DType::boolean ? 1 : static_cast<unsigned>(8 * size_of(type)));
  return lanes > 0 ? llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes)) : element;
}

llvm::Type* Operators::memory_type(DType type, int lanes) const {
  llvm::Type* element = nullptr;
  if (type == DType::f64 || type == DType::f32)
    element = register_type(type, 0);
  else
    element = builder_.getIntNTy(static_cast<unsigned>(8 * size_of(type)));
  return lanes > 0 ? llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes)) : element;
}

llvm::Type* Operators::like(llvm::Value* x, llvm::Type* element) const {
  if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType()))
    return llvm::FixedVectorType::get(element, vector->getNumElements());
  return element;
}

llvm::Constant* Operators::integer(llvm::Value* like_value, std::uint64_t value) const {
  return llvm::ConstantInt::get(like_value->getType(), value);
}

llvm::Constant* Operators::real(llvm::Value* like_value, double value) const {
  return llvm::ConstantFP::get(like_value->getType(), value);
}

llvm::Value* Operators::constant(DType type, std::int64_t bits) const {
  llvm::Type* to = register_type(type, 0);
  if (is_float(type)) return llvm::ConstantFP::get(to, std::bit_cast<double>(bits));
  if (type == DType::boolean) return llvm::ConstantInt::get(to, bits != 0 ? 1 : 0);
  return llvm::ConstantInt::get(to, static_cast<std::uint64_t>(bits), true);
}

llvm::Value* Operators::reinterpret(llvm::Value* x, llvm::Type* element) {
  return builder_.CreateBitCast(x, like(x, element));
}

llvm::Value* Operators::unary(Op op, DType type, llvm::Value* x, int active) {
  if (const std::string name = library_name(op, type); !name.empty()) return call_library(name, x, nullptr, active);
  if (op == Op::logical_not || (op == Op::bit_not && !is_float(type))) return builder_.CreateNot(x);
  if (is_float(type)) {
    switch (op) {
      case Op::neg: return builder_.CreateFNeg(x);
      case Op::abs: return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
      case Op::sqrt: return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
      case Op::floor: return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, x);
      case Op::ceil: return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::ceil, x);
      case Op::round_even: return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, x);
      default: break;
    }
  } else if (type != DType::boolean) {
    if (op == Op::neg) return builder_.CreateNeg(x);
    if (op == Op::abs && !is_signed_integer(type)) return x;
    if (op == Op::abs) return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, builder_.getFalse());
  }
  not_elementary(op, type);
}

llvm::Value* Operators::binary(Op op, DType type, llvm::Value* x, llvm::Value* y, int active) {
  if (class_of(op) == OpClass::compare) return compare(op, type, x, y);
  if (const std::string name = library_name(op, type); !name.empty()) return call_library(name, x, y, active);
  llvm::Value* result = nullptr;
  if (is_float(type))
    result = float_binary(op, x, y);
  else if (type == DType::boolean)
    result = boolean_binary(op, x, y);
  else
    result = integer_binary(op, is_signed_integer(type), x, y);
  if (!result) not_elementary(op, type);
  return result;
}

// By a constant: `x` where it is NaN, without another test.
llvm::Value* Operators::bounded(Op op, llvm::Value* x, llvm::Value* bound) {
  return builder_.CreateSelect(op == Op::maximum ? builder_.CreateFCmpUGT(x, bound) : builder_.CreateFCmpULT(x, bound),
                               x, bound);
}

llvm::Value* Operators::float_binary(Op op, llvm::Value* x, llvm::Value* y) {
  if ((op == Op::maximum || op == Op::minimum) && is_number(y)) return bounded(op, x, y);
  switch (op) {
    case Op::add: return builder_.CreateFAdd(x, y);
    case Op::sub: return builder_.CreateFSub(x, y);
    case Op::mul: return builder_.CreateFMul(x, y);
    case Op::div: return builder_.CreateFDiv(x, y);
    // As the host interpreter: NaN of either operand, y of two equal ones. The inner select is one instruction on x86.
    case Op::maximum:
      return builder_.CreateSelect(builder_.CreateFCmpUNO(x, x), x,
                                   builder_.CreateSelect(builder_.CreateFCmpOGT(x, y), x, y));
    case Op::minimum:
      return builder_.CreateSelect(builder_.CreateFCmpUNO(x, x), x,
                                   builder_.CreateSelect(builder_.CreateFCmpOLT(x, y), x, y));
    default: return nullptr;
  }
}

llvm::Value* Operators::boolean_binary(Op op, llvm::Value* x, llvm::Value* y) {
  switch (op) {
    case Op::logical_and:
    case Op::bit_and:
    case Op::mul:
    case Op::minimum: return builder_.CreateAnd(x, y);
    case Op::logical_or:
    case Op::bit_or:
    case Op::add:
    case Op::maximum: return builder_.CreateOr(x, y);
    case Op::logical_xor:
    case Op::bit_xor: return builder_.CreateXor(x, y);
    default: return nullptr;
  }
}

llvm::Value* Operators::integer_binary(Op op, bool is_signed, llvm::Value* x, llvm::Value* y) {
  switch (op) {
    case Op::add: return builder_.CreateAdd(x, y);
    case Op::sub: return builder_.CreateSub(x, y);
    case Op::mul: return builder_.CreateMul(x, y);
    case Op::div: return divide(is_signed, false, x, y);
    case Op::rem: return divide(is_signed, true, x, y);
    case Op::bit_and: return builder_.CreateAnd(x, y);
    case Op::bit_or: return builder_.CreateOr(x, y);
    case Op::bit_xor: return builder_.CreateXor(x, y);
    case Op::shift_left:
    case Op::shift_right: return shift(op, is_signed, x, y);
    case Op::maximum:
      return builder_.CreateBinaryIntrinsic(is_signed ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, x, y);
    case Op::minimum:
      return builder_.CreateBinaryIntrinsic(is_signed ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, x, y);
    default: return nullptr;
  }
}

llvm::Value* Operators::divide(bool is_signed, bool remainder, llvm::Value* x, llvm::Value* y) {
  llvm::Value* zero = integer(y, 0);
  llvm::Value* by_zero = builder_.CreateICmpEQ(y, zero);
  llvm::Value* by_minus_one = nullptr;
  llvm::Value* unsafe = by_zero;
  if (is_signed) {
    by_minus_one = builder_.CreateICmpEQ(y, llvm::Constant::getAllOnesValue(y->getType()));
    unsafe = builder_.CreateOr(by_zero, by_minus_one);
  }
  llvm::Value* divisor = builder_.CreateSelect(unsafe, integer(y, 1), y);
  if (remainder) {
    // x rem 1 is 0, which is what rem 0 and rem -1 give.
    return is_signed ? builder_.CreateSRem(x, divisor) : builder_.CreateURem(x, divisor);
  }
  llvm::Value* quotient = is_signed ? builder_.CreateSDiv(x, divisor) : builder_.CreateUDiv(x, divisor);
  if (is_signed) quotient = builder_.CreateSelect(by_minus_one, builder_.CreateNeg(x), quotient);
  return builder_.CreateSelect(by_zero, zero, quotient);
}

llvm::Value* Operators::shift(Op op, bool is_signed, llvm::Value* x, llvm::Value* y) {
  const std::uint64_t bits = x->getType()->getScalarSizeInBits();
  if (op == Op::shift_right && is_signed)
    return builder_.CreateAShr(x, builder_.CreateBinaryIntrinsic(llvm::Intrinsic::umin, y, integer(y, bits - 1)));
  llvm::Value* inside = builder_.CreateICmpULT(y, integer(y, bits));
  llvm::Value* amount = builder_.CreateAnd(y, integer(y, bits - 1));
  llvm::Value* shifted = op == Op::shift_left ? builder_.CreateShl(x, amount) : builder_.CreateLShr(x, amount);
  return builder_.CreateSelect(inside, shifted, integer(x, 0));
}

llvm::Value* Operators::compare(Op op, DType type, llvm::Value* x, llvm::Value* y) {
  using Predicate = llvm::CmpInst::Predicate;
  const bool real_type = is_float(type), is_signed = is_signed_integer(type);
  const auto pick = [&](Predicate ordered, Predicate of_signed, Predicate of_unsigned) {
    return real_type   ? builder_.CreateFCmp(ordered, x, y)
           : is_signed ? builder_.CreateICmp(of_signed, x, y)
                       : builder_.CreateICmp(of_unsigned, x, y);
  };
  switch (op) {
    case Op::equal: return pick(Predicate::FCMP_OEQ, Predicate::ICMP_EQ, Predicate::ICMP_EQ);
    case Op::not_equal: return pick(Predicate::FCMP_UNE, Predicate::ICMP_NE, Predicate::ICMP_NE);
    case Op::less: return pick(Predicate::FCMP_OLT, Predicate::ICMP_SLT, Predicate::ICMP_ULT);
    case Op::less_equal: return pick(Predicate::FCMP_OLE, Predicate::ICMP_SLE, Predicate::ICMP_ULE);
    case Op::greater: return pick(Predicate::FCMP_OGT, Predicate::ICMP_SGT, Predicate::ICMP_UGT);
    case Op::greater_equal: return pick(Predicate::FCMP_OGE, Predicate::ICMP_SGE, Predicate::ICMP_UGE);
    default: not_elementary(op, type);
  }
}

llvm::Value* Operators::fma(llvm::Value* x, llvm::Value* y, llvm::Value* z) {
  if (!target_.fma) return builder_.CreateFAdd(builder_.CreateFMul(x, y), z);
  return builder_.CreateIntrinsic(x->getType(), llvm::Intrinsic::fma, {x, y, z});
}

// The processor's instruction takes whole registers: vectors are cut and filled up.
llvm::Value* Operators::dot_pairs(llvm::Value* x, llvm::Value* y, llvm::Value* z) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(z->getType());
  if (!target_.bf16 || !vector) {
    const auto half = [&](llvm::Value* pair, bool high) {
      llvm::Value* bits =
          high ? builder_.CreateAnd(pair, integer(pair, 0xffff0000u)) : builder_.CreateShl(pair, integer(pair, 16));
      return reinterpret(bits, builder_.getFloatTy());
    };
    return fma(half(x, true), half(y, true), fma(half(x, false), half(y, false), z));
  }
  const int lanes = static_cast<int>(vector->getNumElements()), most = 16;
  const auto part = [&](llvm::Value* whole, int first) {
    if (lanes == most) return whole;
    llvm::SmallVector<int, 16> chosen;
    for (int i = first; i < first + most; ++i) chosen.push_back(i < lanes ? i : -1);
    return builder_.CreateShuffleVector(whole, chosen);
  };
  auto* pairs = llvm::FixedVectorType::get(builder_.getBFloatTy(), 2 * most);
  llvm::SmallVector<llvm::Value*, 4> parts;
  for (int first = 0; first < lanes; first += most)
    parts.push_back(builder_.CreateIntrinsic(llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512, {},
                                             {part(z, first), builder_.CreateBitCast(part(x, first), pairs),
                                              builder_.CreateBitCast(part(y, first), pairs)}));
  llvm::Value* result = llvm::concatenateVectors(builder_, parts);
  if (lanes >= most) return result;
  llvm::SmallVector<int, 16> wanted;
  for (int i = 0; i < lanes; ++i) wanted.push_back(i);
  return builder_.CreateShuffleVector(result, wanted);
}

llvm::Value* Operators::call_library(const std::string& name, llvm::Value* x, llvm::Value* y, int active) {
  llvm::Type* element = x->getType()->getScalarType();
  llvm::SmallVector<llvm::Type*, 2> types(y ? 2 : 1, element);
  llvm::FunctionCallee callee = module_.getOrInsertFunction(name, llvm::FunctionType::get(element, types, false));
  const auto call = [&](llvm::Value* a, llvm::Value* b) {
    llvm::CallInst* result = b ? builder_.CreateCall(callee, {a, b}) : builder_.CreateCall(callee, {a});
    // Not LLVM's idea of the function: no folding, no replacement by another one.
    result->addFnAttr(llvm::Attribute::NoBuiltin);
    result->addFnAttr(llvm::Attribute::NoUnwind);
    return result;
  };
  if (!x->getType()->isVectorTy()) return call(x, y);
  llvm::Value* result = llvm::PoisonValue::get(x->getType());
  for (int lane = 0; lane < active; ++lane) {
    const auto at = static_cast<std::uint64_t>(lane);
    llvm::Value* second = y ? builder_.CreateExtractElement(y, at) : nullptr;
    result = builder_.CreateInsertElement(result, call(builder_.CreateExtractElement(x, at), second), at);
  }
  return result;
}

llvm::Value* Operators::join(Op op, DType type, llvm::Value* x) {
  auto lanes = static_cast<int>(llvm::cast<llvm::FixedVectorType>(x->getType())->getNumElements());
  llvm::Value* odd = nullptr;
  while (lanes > 1) {
    if (lanes % 2 != 0) {
      llvm::Value* last = builder_.CreateExtractElement(x, static_cast<std::uint64_t>(lanes - 1));
      odd = odd ? binary(op, type, odd, last, 1) : last;
    }
    lanes /= 2;
    llvm::SmallVector<int, 64> low, high;
    for (int i = 0; i < lanes; ++i) {
      low.push_back(i);
      high.push_back(lanes + i);
    }
    x = binary(op, type, builder_.CreateShuffleVector(x, low), builder_.CreateShuffleVector(x, high), lanes);
  }
  llvm::Value* first = builder_.CreateExtractElement(x, std::uint64_t{0});
  return odd ? binary(op, type, first, odd, 1) : first;
}

}  // namespace weft::cpu
