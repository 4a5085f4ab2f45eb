// Generated code in builds that watch memory: what the compiler does to our own code then, done to that of kernels.
//
// Under AddressSanitizer, LLVM's pass: every access is checked, and a thread's own buffers get red zones. Under
// ThreadSanitizer, whose pass leaves out vectors of more than 16 bytes, each load and store of an operand is told to
// the run time. In other builds nothing happens. The undefined-behaviour sanitizer sees no generated code: its
// arithmetic is defined by the loop IR.
#pragma once

#include <string_view>

namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace weft::cpu {

/// "", or what generated code is made to be watched by: part of the key of cached code.
std::string_view watched_by();

void instrument(llvm::Module& module, llvm::TargetMachine& machine);

/// Whether instrumented code may call the function of this name.
bool is_run_time_of_watching(std::string_view name);

}  // namespace weft::cpu
