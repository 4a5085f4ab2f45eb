// Instrumentation, one sanitizer or the other.
#include "kernels/cpu/jit/sanitize.hpp"

#if defined(__SANITIZE_ADDRESS__)

#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/Instrumentation/AddressSanitizer.h>

namespace weft::cpu {

std::string_view watched_by() { return "address"; }

bool is_run_time_of_watching(std::string_view name) { return name.starts_with("__asan_"); }

void instrument(llvm::Module& module, llvm::TargetMachine& machine) {
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) function.addFnAttr(llvm::Attribute::SanitizeAddress);
  llvm::LoopAnalysisManager loop_analyses;
  llvm::FunctionAnalysisManager function_analyses;
  llvm::CGSCCAnalysisManager call_analyses;
  llvm::ModuleAnalysisManager module_analyses;
  llvm::PassBuilder passes(&machine);
  passes.registerModuleAnalyses(module_analyses);
  passes.registerCGSCCAnalyses(call_analyses);
  passes.registerFunctionAnalyses(function_analyses);
  passes.registerLoopAnalyses(loop_analyses);
  passes.crossRegisterProxies(loop_analyses, function_analyses, call_analyses, module_analyses);
  llvm::ModulePassManager list;
  llvm::AddressSanitizerOptions options;
  options.InstrumentationWithCallsThreshold = 0;  // a check in line at each access of a tile takes minutes to compile
  options.UseAfterReturn = llvm::AsanDetectStackUseAfterReturnMode::Never;  // a kernel's own buffers stay in it
  // The process has begun long ago: no constructor has to tell the run time so.
  list.addPass(llvm::AddressSanitizerPass(options, false, false, llvm::AsanDtorKind::None, llvm::AsanCtorKind::None));
  list.run(module, module_analyses);
}

}  // namespace weft::cpu

#elif defined(__SANITIZE_THREAD__)

#include <llvm/Analysis/ValueTracking.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <string>
#include <vector>

#include "weft/error.hpp"

namespace weft::cpu {
namespace {

class Telling {
 public:
  explicit Telling(llvm::Module& module) : module_(module) {}

  void accesses_of(llvm::Function& function) {
    std::vector<llvm::Instruction*> all;
    for (llvm::Instruction& one : llvm::instructions(function)) all.push_back(&one);
    for (llvm::Instruction* one : all) {
      if (auto* load = llvm::dyn_cast<llvm::LoadInst>(one))
        tell(one, "read", load->getPointerOperand(), load->getType());
      else if (auto* store = llvm::dyn_cast<llvm::StoreInst>(one))
        tell(one, "write", store->getPointerOperand(), store->getValueOperand()->getType());
      else if (auto* call = llvm::dyn_cast<llvm::IntrinsicInst>(one))
        lanes_of(call);
    }
  }

 private:
  /// Scalars by their size, vectors as ranges: of a range of a few bytes the run time may forget.
  void tell(llvm::Instruction* before, const std::string& what, llvm::Value* pointer, llvm::Type* type) {
    if (llvm::isa<llvm::AllocaInst>(llvm::getUnderlyingObject(pointer))) return;  // the thread's own
    llvm::IRBuilder<> builder(before);
    const std::uint64_t bytes = module_.getDataLayout().getTypeStoreSize(type);
    if (type->isVectorTy())
      builder.CreateCall(module_.getOrInsertFunction("__tsan_" + what + "_range", builder.getVoidTy(),
                                                     builder.getPtrTy(), builder.getInt64Ty()),
                         {pointer, builder.getInt64(bytes)});
    else
      builder.CreateCall(module_.getOrInsertFunction("__tsan_" + what + std::to_string(bytes), builder.getVoidTy(),
                                                     builder.getPtrTy()),
                         {pointer});
  }

  /// Accesses whose mask is a constant: each lane that takes part.
  void lanes_of(llvm::IntrinsicInst* call) {
    const llvm::Intrinsic::ID id = call->getIntrinsicID();
    const bool reads = id == llvm::Intrinsic::masked_load || id == llvm::Intrinsic::masked_gather;
    if (!reads && id != llvm::Intrinsic::masked_store && id != llvm::Intrinsic::masked_scatter) return;
    llvm::Value *pointer = call->getArgOperand(reads ? 0 : 1), *mask = call->getArgOperand(reads ? 2 : 3);
    auto* type = llvm::cast<llvm::FixedVectorType>(reads ? call->getType() : call->getArgOperand(0)->getType());
    auto* known = llvm::dyn_cast<llvm::Constant>(mask);
    check_internal(known, "a generated kernel's mask is not known when it is compiled");
    llvm::IRBuilder<> builder(call);
    for (unsigned lane = 0; lane < type->getNumElements(); ++lane) {
      if (known->getAggregateElement(lane)->isZeroValue()) continue;
      llvm::Value* at = pointer->getType()->isVectorTy()
                            ? builder.CreateExtractElement(pointer, lane)
                            : builder.CreateConstGEP1_32(type->getElementType(), pointer, lane);
      tell(call, reads ? "read" : "write", at, type->getElementType());
    }
  }

  llvm::Module& module_;
};

}  // namespace

std::string_view watched_by() { return "thread"; }

bool is_run_time_of_watching(std::string_view name) { return name.starts_with("__tsan_"); }

void instrument(llvm::Module& module, llvm::TargetMachine&) {
  Telling telling(module);
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) telling.accesses_of(function);
}

}  // namespace weft::cpu

#else

namespace weft::cpu {

std::string_view watched_by() { return ""; }
bool is_run_time_of_watching(std::string_view) { return false; }
void instrument(llvm::Module&, llvm::TargetMachine&) {}

}  // namespace weft::cpu

#endif
