// Conversions between types, and between what is in memory and what is in registers.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/PatternMatch.h>

#include <cmath>

#include "kernels/cpu/jit/operators.hpp"
#include "weft/error.hpp"

namespace weft::cpu {

llvm::Value* Operators::from_memory(DType type, llvm::Value* x) {
  switch (type) {
    case DType::boolean: return builder_.CreateICmpNE(x, integer(x, 0));
    case DType::f16: return widen_half(x);
    case DType::bf16: {
      llvm::Value* wide = builder_.CreateZExt(x, like(x, builder_.getInt32Ty()));
      return reinterpret(builder_.CreateShl(wide, integer(wide, 16)), builder_.getFloatTy());
    }
    default: return x;
  }
}

llvm::Value* Operators::to_memory(DType type, llvm::Value* x) {
  // What was only loaded is stored as it was: no bit of a NaN or a subnormal number changes.
  using namespace llvm::PatternMatch;
  llvm::Value* loaded = nullptr;
  if (type == DType::bf16 && match(x, m_BitCast(m_Shl(m_ZExt(m_Value(loaded)), m_SpecificInt(16))))) return loaded;
  if (type == DType::f16 && match(x, m_FPExt(m_BitCast(m_Value(loaded)))) && loaded->getType()->isIntOrIntVectorTy(16))
    return loaded;
  switch (type) {
    case DType::boolean: return builder_.CreateZExt(x, like(x, builder_.getInt8Ty()));
    case DType::f16: return narrow_half(x);
    case DType::bf16: return narrow_bfloat(x);
    default: return x;
  }
}

llvm::Value* Operators::round_to(DType type, llvm::Value* x) {
  if (type != DType::f16 && type != DType::bf16)
    throw InternalError("loop IR: rounding to " + std::string(name_of(type)));
  return from_memory(type, to_memory(type, x));
}

llvm::Value* Operators::bitcast(DType from, DType to, llvm::Value* x) {
  return from_memory(to, builder_.CreateBitCast(to_memory(from, x), like(x, memory_type(to, 0))));
}

llvm::Value* Operators::cast(DType from, DType to, llvm::Value* x) {
  const bool was_float = is_float(from);
  const bool was_signed = is_signed_integer(from);
  if (to == DType::boolean) {
    if (from == DType::boolean) return x;
    return was_float ? builder_.CreateFCmpUNE(x, real(x, 0)) : builder_.CreateICmpNE(x, integer(x, 0));
  }
  llvm::Type* type = like(x, register_type(to, 0));
  if (is_float(to)) {
    if (was_float)
      x = builder_.CreateFPCast(x, type);
    else
      x = was_signed ? builder_.CreateSIToFP(x, type) : builder_.CreateUIToFP(x, type);
    return (to == DType::f16 || to == DType::bf16) && from != to ? round_to(to, x) : x;
  }
  if (was_float) return float_to_integer(to, x);
  return builder_.CreateIntCast(x, type, was_signed);
}

// Truncates and saturates; NaN gives 0. Values outside the range never reach the conversion, whose result they would
// leave undefined.
llvm::Value* Operators::float_to_integer(DType to, llvm::Value* x) {
  const bool is_signed = is_signed_integer(to);
  const int bits = static_cast<int>(8 * size_of(to));
  const int digits = is_signed ? bits - 1 : bits;
  const double limit = std::ldexp(1.0, digits);
  llvm::Value* high = builder_.CreateFCmpOGE(x, real(x, limit));
  llvm::Value* low = builder_.CreateFCmpULE(x, real(x, is_signed ? -limit : 0.0));
  llvm::Value* safe = builder_.CreateSelect(builder_.CreateOr(high, low), real(x, 0), x);
  // Narrow types through i32, which processors convert to at once.
  const int through = bits < 32 ? 32 : bits;
  llvm::Type* type = like(x, builder_.getIntNTy(static_cast<unsigned>(through)));
  llvm::Value* converted =
      is_signed || bits < 32 ? builder_.CreateFPToSI(safe, type) : builder_.CreateFPToUI(safe, type);
  llvm::Value* result = builder_.CreateTrunc(converted, like(x, register_type(to, 0)));
  const std::uint64_t highest = digits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << digits) - 1;
  result = builder_.CreateSelect(high, integer(result, highest), result);
  if (!is_signed) return result;
  // `low` is true for NaN too, where the 0 that was converted stands.
  llvm::Value* lowest = integer(result, std::uint64_t{1} << digits);
  return builder_.CreateSelect(builder_.CreateFCmpOLE(x, real(x, -limit)), lowest, result);
}

llvm::Value* Operators::widen_half(llvm::Value* bits) {
  llvm::Type* f32 = builder_.getFloatTy();
  if (target_.f16c) return builder_.CreateFPExt(reinterpret(bits, builder_.getHalfTy()), like(bits, f32));
  llvm::Value* wide = builder_.CreateZExt(bits, like(bits, builder_.getInt32Ty()));
  llvm::Value* sign = builder_.CreateShl(builder_.CreateAnd(wide, integer(wide, 0x8000)), integer(wide, 16));
  llvm::Value* magnitude = builder_.CreateAnd(wide, integer(wide, 0x7fff));
  llvm::Value* shifted = builder_.CreateShl(magnitude, integer(wide, 13));
  // A normal number gets the other exponent bias; infinity and NaN the largest exponent.
  llvm::Value* normal = builder_.CreateAdd(shifted, integer(wide, 112u << 23));
  llvm::Value* special = builder_.CreateOr(shifted, integer(wide, 0x7f800000));
  // A subnormal one is the fraction of 2^-14 (1 + fraction), less 2^-14: exact, and normal in f32.
  llvm::Value* biased = reinterpret(builder_.CreateAdd(shifted, integer(wide, 113u << 23)), f32);
  llvm::Value* subnormal =
      reinterpret(builder_.CreateFSub(biased, real(biased, std::ldexp(1.0, -14))), builder_.getInt32Ty());
  llvm::Value* is_special = builder_.CreateICmpUGE(magnitude, integer(wide, 0x7c00));
  llvm::Value* is_subnormal = builder_.CreateICmpULT(magnitude, integer(wide, 0x400));
  llvm::Value* result =
      builder_.CreateSelect(is_special, special, builder_.CreateSelect(is_subnormal, subnormal, normal));
  return reinterpret(builder_.CreateOr(result, sign), f32);
}

// Without F16C: the steps of Half(float).
llvm::Value* Operators::narrow_half(llvm::Value* x) {
  llvm::Type* i16 = builder_.getInt16Ty();
  if (target_.f16c) return reinterpret(builder_.CreateFPTrunc(x, like(x, builder_.getHalfTy())), i16);
  llvm::Value* bits = reinterpret(x, builder_.getInt32Ty());
  llvm::Value* sign = builder_.CreateAnd(builder_.CreateLShr(bits, integer(bits, 16)), integer(bits, 0x8000));
  llvm::Value* magnitude = builder_.CreateAnd(bits, integer(bits, 0x7fffffff));
  llvm::Value* odd = builder_.CreateAnd(builder_.CreateLShr(magnitude, integer(bits, 13)), integer(bits, 1));
  llvm::Value* rounded = builder_.CreateAdd(builder_.CreateAdd(magnitude, integer(bits, 0xc8000fff)), odd);
  llvm::Value* normal = builder_.CreateLShr(rounded, integer(bits, 13));
  llvm::Value* number = reinterpret(magnitude, builder_.getFloatTy());
  llvm::Value* added = reinterpret(builder_.CreateFAdd(number, real(number, 0.5)), builder_.getInt32Ty());
  llvm::Value* subnormal = builder_.CreateSub(added, integer(bits, std::bit_cast<std::uint32_t>(0.5f)));
  llvm::Value* result =
      builder_.CreateSelect(builder_.CreateICmpULT(magnitude, integer(bits, 0x38800000)), subnormal, normal);
  result = builder_.CreateSelect(builder_.CreateICmpUGE(magnitude, integer(bits, 0x477ff000)), integer(bits, 0x7c00),
                                 result);
  result = builder_.CreateSelect(builder_.CreateICmpUGT(magnitude, integer(bits, 0x7f800000)), integer(bits, 0x7e00),
                                 result);
  return builder_.CreateTrunc(builder_.CreateOr(result, sign), like(x, i16));
}

// The hardware's conversion takes subnormal numbers (below 1.2e-38) for zero; the other one does not.
llvm::Value* Operators::narrow_bfloat(llvm::Value* x) {
  llvm::Type* i16 = builder_.getInt16Ty();
  if (target_.bf16) return reinterpret(builder_.CreateFPTrunc(x, like(x, builder_.getBFloatTy())), i16);
  llvm::Value* bits = reinterpret(x, builder_.getInt32Ty());
  llvm::Value* odd = builder_.CreateAnd(builder_.CreateLShr(bits, integer(bits, 16)), integer(bits, 1));
  llvm::Value* rounded = builder_.CreateAdd(builder_.CreateAdd(bits, integer(bits, 0x7fff)), odd);
  llvm::Value* quiet = builder_.CreateOr(bits, integer(bits, 0x400000));
  llvm::Value* result = builder_.CreateSelect(builder_.CreateFCmpUNO(x, x), quiet, rounded);
  return builder_.CreateTrunc(builder_.CreateLShr(result, integer(bits, 16)), like(x, i16));
}

}  // namespace weft::cpu
