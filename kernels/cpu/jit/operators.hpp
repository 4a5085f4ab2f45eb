// The operators of the loop IR on LLVM values, scalars and vectors alike. Internal to this folder: LLVM's headers.
//
// In registers a boolean is i1, and f16 and bf16 are f32; in memory a boolean is a byte and f16 and bf16 are 16 bits.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "kernels/cpu/jit/jit_target.hpp"
#include "kernels/loops/ir.hpp"

namespace weft::cpu {

// It folds constants only. LLVM's folder that simplifies more looks through loop variables that are not finished yet.
using IrBuilder = llvm::IRBuilder<>;

class Operators {
 public:
  Operators(llvm::Module& module, IrBuilder& builder, const JitTarget& target)
      : module_(module), builder_(builder), target_(target) {}

  /// `lanes` 0 is a scalar.
  llvm::Type* register_type(DType type, int lanes) const;
  llvm::Type* memory_type(DType type, int lanes) const;

  llvm::Value* constant(DType type, std::int64_t bits) const;
  llvm::Value* from_memory(DType type, llvm::Value* x);
  llvm::Value* to_memory(DType type, llvm::Value* x);

  /// Only the first `active` lanes are wanted.
  llvm::Value* unary(Op op, DType type, llvm::Value* x, int active);
  /// `type` is the operands'.
  llvm::Value* binary(Op op, DType type, llvm::Value* x, llvm::Value* y, int active);
  llvm::Value* fma(llvm::Value* x, llvm::Value* y, llvm::Value* z);
  /// z + both products of the pairs of bf16 numbers in x and y.
  llvm::Value* dot_pairs(llvm::Value* x, llvm::Value* y, llvm::Value* z);
  llvm::Value* cast(DType from, DType to, llvm::Value* x);
  llvm::Value* bitcast(DType from, DType to, llvm::Value* x);
  llvm::Value* round_to(DType type, llvm::Value* x);
  /// The lanes of a vector joined by halves.
  llvm::Value* join(Op op, DType type, llvm::Value* x);

 private:
  llvm::Type* like(llvm::Value* x, llvm::Type* element) const;
  llvm::Constant* integer(llvm::Value* like_value, std::uint64_t value) const;
  llvm::Constant* real(llvm::Value* like_value, double value) const;
  llvm::Value* float_binary(Op op, llvm::Value* x, llvm::Value* y);
  llvm::Value* bounded(Op op, llvm::Value* x, llvm::Value* bound);
  llvm::Value* integer_binary(Op op, bool is_signed, llvm::Value* x, llvm::Value* y);
  llvm::Value* boolean_binary(Op op, llvm::Value* x, llvm::Value* y);
  llvm::Value* compare(Op op, DType type, llvm::Value* x, llvm::Value* y);
  llvm::Value* divide(bool is_signed, bool remainder, llvm::Value* x, llvm::Value* y);
  llvm::Value* shift(Op op, bool is_signed, llvm::Value* x, llvm::Value* y);
  llvm::Value* float_to_integer(DType to, llvm::Value* x);
  llvm::Value* widen_half(llvm::Value* bits);
  llvm::Value* narrow_half(llvm::Value* x);
  llvm::Value* narrow_bfloat(llvm::Value* x);
  llvm::Value* call_library(const std::string& name, llvm::Value* x, llvm::Value* y, int active);
  llvm::Value* reinterpret(llvm::Value* x, llvm::Type* element);

  llvm::Module& module_;
  IrBuilder& builder_;
  const JitTarget& target_;
};

/// The C function that computes `op` of `type`; empty when there is none.
std::string library_name(Op op, DType type);

}  // namespace weft::cpu
