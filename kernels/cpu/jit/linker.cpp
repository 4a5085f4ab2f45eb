// ORC with JITLink: one dynamic library for each kernel, which sees a fixed list of C functions and nothing else (but a
// sanitizer's, in builds that watch memory).
#include "kernels/cpu/jit/linker.hpp"

#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Support/MemoryBuffer.h>

#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/cpu/jit/codegen.hpp"
#include "kernels/cpu/jit/sanitize.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

namespace orc = llvm::orc;

template <class T>
T take(llvm::Expected<T> value) {
  if (!value) throw InternalError("linking a generated kernel: " + llvm::toString(value.takeError()));
  return std::move(*value);
}

void take(llvm::Error error) {
  if (error) throw InternalError("linking a generated kernel: " + llvm::toString(std::move(error)));
}

struct Function {
  const char* name;
  void* address;
};

template <class F>
Function function(const char* name, F* address) {
  return {name, reinterpret_cast<void*>(address)};
}

// What object code may call: libm, and what LLVM itself calls.
std::vector<Function> known_functions() {
  using Unary = double(double);
  using Binary = double(double, double);
  using UnaryF = float(float);
  using BinaryF = float(float, float);
  return {function<Unary>("exp", ::exp),
          function<UnaryF>("expf", ::expf),
          function<Unary>("expm1", ::expm1),
          function<UnaryF>("expm1f", ::expm1f),
          function<Unary>("log", ::log),
          function<UnaryF>("logf", ::logf),
          function<Unary>("log1p", ::log1p),
          function<UnaryF>("log1pf", ::log1pf),
          function<Unary>("sin", ::sin),
          function<UnaryF>("sinf", ::sinf),
          function<Unary>("cos", ::cos),
          function<UnaryF>("cosf", ::cosf),
          function<Unary>("tan", ::tan),
          function<UnaryF>("tanf", ::tanf),
          function<Unary>("asin", ::asin),
          function<UnaryF>("asinf", ::asinf),
          function<Unary>("acos", ::acos),
          function<UnaryF>("acosf", ::acosf),
          function<Unary>("atan", ::atan),
          function<UnaryF>("atanf", ::atanf),
          function<Unary>("sinh", ::sinh),
          function<UnaryF>("sinhf", ::sinhf),
          function<Unary>("cosh", ::cosh),
          function<UnaryF>("coshf", ::coshf),
          function<Unary>("tanh", ::tanh),
          function<UnaryF>("tanhf", ::tanhf),
          function<Unary>("asinh", ::asinh),
          function<UnaryF>("asinhf", ::asinhf),
          function<Unary>("acosh", ::acosh),
          function<UnaryF>("acoshf", ::acoshf),
          function<Unary>("atanh", ::atanh),
          function<UnaryF>("atanhf", ::atanhf),
          function<Unary>("erf", ::erf),
          function<UnaryF>("erff", ::erff),
          function<Unary>("floor", ::floor),
          function<UnaryF>("floorf", ::floorf),
          function<Unary>("ceil", ::ceil),
          function<UnaryF>("ceilf", ::ceilf),
          function<Unary>("roundeven", ::roundeven),
          function<UnaryF>("roundevenf", ::roundevenf),
          function<Binary>("pow", ::pow),
          function<BinaryF>("powf", ::powf),
          function<Binary>("fmod", ::fmod),
          function<BinaryF>("fmodf", ::fmodf),
          function<void*(void*, const void*, std::size_t)>("memcpy", ::memcpy),
          function<void*(void*, const void*, std::size_t)>("memmove", ::memmove),
          function<void*(void*, int, std::size_t)>("memset", ::memset)};
}

}  // namespace

class Linker::Session : public std::enable_shared_from_this<Linker::Session> {
 public:
  Session() : session_(take(orc::SelfExecutorProcessControl::Create())), layer_(session_) {
    session_.setErrorReporter([](llvm::Error error) { llvm::consumeError(std::move(error)); });
    functions_ = &session_.createBareJITDylib("functions");
    orc::SymbolMap symbols;
    for (const Function& known : known_functions())
      symbols[session_.intern(known.name)] = {orc::ExecutorAddr::fromPtr(known.address),
                                              llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
    take(functions_->define(orc::absoluteSymbols(std::move(symbols))));
    if (watched_by().empty()) return;
    functions_->addGenerator(take(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
        '\0', [](const orc::SymbolStringPtr& name) { return is_run_time_of_watching(*name); })));
  }
  ~Session() { llvm::consumeError(session_.endSession()); }

  std::unique_ptr<LinkedCode> link(const std::string& object, std::size_t phases);

 private:
  class Code;

  orc::ExecutionSession session_;
  orc::ObjectLinkingLayer layer_;
  orc::JITDylib* functions_ = nullptr;
  std::atomic<std::uint64_t> next_{0};
};

class Linker::Session::Code : public LinkedCode {
 public:
  Code(std::shared_ptr<Session> session, orc::JITDylib& library) : session_(std::move(session)), library_(&library) {}
  ~Code() override { llvm::consumeError(session_->session_.removeJITDylib(*library_)); }

 private:
  std::shared_ptr<Session> session_;
  orc::JITDylibSP library_;
};

std::unique_ptr<LinkedCode> Linker::Session::link(const std::string& object, std::size_t phases) {
  orc::JITDylib& library = session_.createBareJITDylib("kernel" + std::to_string(next_++));
  auto code = std::make_unique<Code>(shared_from_this(), library);
  library.addToLinkOrder(*functions_);
  take(layer_.add(library, llvm::MemoryBuffer::getMemBufferCopy(object, library.getName())));
  orc::SymbolLookupSet names;
  std::vector<orc::SymbolStringPtr> wanted;
  for (std::size_t i = 0; i < phases; ++i) {
    wanted.push_back(session_.intern(phase_name(i)));
    names.add(wanted.back());
  }
  const orc::SymbolMap found = take(session_.lookup({{&library, orc::JITDylibLookupFlags::MatchAllSymbols}}, names));
  for (const orc::SymbolStringPtr& name : wanted)
    code->phases.push_back(found.at(name).getAddress().toPtr<PhaseFunction>());
  return code;
}

Linker::Linker() : session_(std::make_shared<Session>()) {}
Linker::~Linker() = default;
Linker::Linker(Linker&&) noexcept = default;
Linker& Linker::operator=(Linker&&) noexcept = default;

std::unique_ptr<LinkedCode> Linker::link(const std::string& object, std::size_t phases) {
  return session_->link(object, phases);
}

}  // namespace weft::cpu
