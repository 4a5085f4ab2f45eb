// Kernel to LLVM module, the short list of passes, and code generation.
#include "kernels/cpu/jit/codegen.hpp"

#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Target/TargetOptions.h>
#include <llvm/Transforms/Scalar/DCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/SROA.h>

#include <mutex>

#include "emitter_version.hpp"
#include "kernels/cpu/jit/phase_emitter.hpp"
#include "kernels/cpu/jit/sanitize.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr const char* kTriple = "x86_64-unknown-linux-gnu";

std::unique_ptr<llvm::TargetMachine> make_machine(const JitTarget& target) {
  // LLVM keeps its targets in a list of its own, which this fills once.
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(kTriple, error);
  check_internal(found, "LLVM has no x86-64 target: " + error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(kTriple, target.cpu, target.features, options,
                                                                         llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                                                         llvm::CodeGenOptLevel::Default));
}

std::unique_ptr<llvm::Module> emit_module(const loops::Kernel& kernel, const JitTarget& target,
                                          const llvm::TargetMachine& machine, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>("kernel", context);
  module->setTargetTriple(kTriple);
  module->setDataLayout(machine.createDataLayout());
  for (std::size_t i = 0; i < kernel.phases.size(); ++i)
    PhaseEmitter(kernel, kernel.phases[i], target, *module).emit(phase_name(i));
  std::string problem;
  llvm::raw_string_ostream stream(problem);
  const bool invalid = llvm::verifyModule(*module, &stream);
  check_internal(!invalid, "loop IR: the emitter made an invalid module: " + problem);
  return module;
}

// The emitter places and shares values itself, so little is left: variables become registers, and what is then equal
// or unused goes. There is no vectoriser, and nothing that reorders arithmetic.
void optimise(llvm::Module& module, llvm::TargetMachine& machine) {
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
  llvm::FunctionPassManager list;
  list.addPass(llvm::SROAPass(llvm::SROAOptions::PreserveCFG));
  list.addPass(llvm::EarlyCSEPass());
  list.addPass(llvm::DCEPass());
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) list.run(function, function_analyses);
}

std::string generate(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType kind) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  check_internal(!machine.addPassesToEmitFile(passes, stream, nullptr, kind), "LLVM cannot write object code");
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

std::string generate(const loops::Kernel& kernel, const JitTarget& target, llvm::CodeGenFileType kind) {
  llvm::LLVMContext context;
  const auto machine = make_machine(target);
  const auto module = emit_module(kernel, target, *machine, context);
  optimise(*module, *machine);
  if (kind == llvm::CodeGenFileType::ObjectFile) instrument(*module, *machine);
  return generate(*module, *machine, kind);
}

}  // namespace

std::string phase_name(std::size_t phase) { return "phase" + std::to_string(phase); }

std::string llvm_text(const loops::Kernel& kernel, const JitTarget& target, bool optimised) {
  llvm::LLVMContext context;
  const auto machine = make_machine(target);
  const auto module = emit_module(kernel, target, *machine, context);
  if (optimised) optimise(*module, *machine);
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, nullptr);
  return text;
}

std::string assembly_text(const loops::Kernel& kernel, const JitTarget& target) {
  return generate(kernel, target, llvm::CodeGenFileType::AssemblyFile);
}

std::string object_code(const loops::Kernel& kernel, const JitTarget& target) {
  return generate(kernel, target, llvm::CodeGenFileType::ObjectFile);
}

std::string code_key(const loops::Kernel& kernel, const JitTarget& target) {
  return "weft " + std::string(kEmitterVersion) + std::string(watched_by()) + " LLVM " LLVM_VERSION_STRING " " +
         target.key() + "\n" + kernel.str();
}

}  // namespace weft::cpu
