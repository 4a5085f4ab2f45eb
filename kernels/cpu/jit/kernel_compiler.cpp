// Compiling kernels: cache, emitter, linker.
#include "kernels/cpu/jit/kernel_compiler.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

#include "kernels/cpu/jit/codegen.hpp"
#include "kernels/cpu/team.hpp"
#include "kernels/loops/legalise.hpp"
#include "weft/error.hpp"

namespace weft::cpu {

KernelCompiler::KernelCompiler(CpuIsa isa, CodeCacheOptions cache)
    : target_(jit_target(isa)), cache_(std::move(cache)) {}

std::shared_ptr<const KernelCode> KernelCompiler::compile(const loops::Kernel& written) {
  written.verify();
  const loops::Kernel kernel = loops::legalised(written, {target_.register_bytes, target_.masked_memory ? 32 : 16});
  const std::string key = code_key(kernel, target_);
  std::unique_ptr<LinkedCode> code = link_cached(key, kernel.phases.size());
  if (!code) {
    const std::string object = object_code(kernel, target_);
    code = linker_.link(object, kernel.phases.size());
    cache_.store(key, object);
    ++generated_;
  }
  return std::make_shared<const KernelCode>(std::move(code));
}

std::unique_ptr<LinkedCode> KernelCompiler::link_cached(const std::string& key, std::size_t phases) {
  const auto object = cache_.find(key);
  if (!object) return nullptr;
  try {
    auto code = linker_.link(*object, phases);
    ++found_;
    return code;
  } catch (const InternalError&) {
    return nullptr;  // whole, and still not what this linker takes: it is written anew
  }
}

std::optional<std::string> KernelCompiler::noted(const std::string& about, const loops::Kernel& kernel) {
  return cache_.find(about + "\n" + code_key(kernel, target_));
}

void KernelCompiler::note(const std::string& about, const loops::Kernel& kernel, std::string_view text) {
  cache_.store(about + "\n" + code_key(kernel, target_), text);
}

std::vector<std::shared_ptr<const KernelCode>> KernelCompiler::compile_all(
    std::span<const loops::Kernel* const> kernels, int threads) {
  std::vector<std::shared_ptr<const KernelCode>> compiled(kernels.size());
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < kernels.size(); i = next++) compiled[i] = compile(*kernels[i]);
    } catch (...) {
      const std::lock_guard lock(failing);
      if (!failure) failure = std::current_exception();
      next = kernels.size();
    }
  };
  // The team that kernels run on: its threads are bound to the cores that this process may use.
  const auto wanted = std::min(kernels.size(), static_cast<std::size_t>(std::max(threads, 1)));
  on_team(static_cast<int>(std::max<std::size_t>(wanted, 1)), [&](std::int64_t, std::int64_t) { work(); });
  if (failure) std::rethrow_exception(failure);
  return compiled;
}

}  // namespace weft::cpu
