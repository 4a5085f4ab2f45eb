// Generated kernels of the CPU: what compiling costs, and how fast the code is on one thread.
//
//     bench_jit [--quick] [--assembly KERNEL]
//
// JSON on standard output, for each instruction set that this processor has. compile_ms is a kernel's, the median of
// several: `cold` by LLVM, `warm` from the cache on disk. gb_per_s counts every operand once, as the same figure of
// memcpy beside it does: `cache` on tensors of 512 KiB, `memory` on some of 64 MiB. --assembly prints a kernel's code.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "graph/ir/builder.hpp"
#include "kernels/cpu/jit/codegen.hpp"
#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/loops/rows.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using Body = std::function<Graph(std::int64_t elements)>;

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median_seconds(int times, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) seconds.push_back(seconds_of(work));
  std::nth_element(seconds.begin(), seconds.begin() + times / 2, seconds.end());
  return seconds[static_cast<std::size_t>(times / 2)];
}

constexpr std::int64_t kColumns = 1024;

/// `make` on a tensor of rows of 1024 elements of `type`.
Body body_of(DType type, const std::function<ValueId(GraphBuilder&, ValueId)>& make) {
  return [type, make](std::int64_t elements) {
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {type, {elements / kColumns, kColumns}});
    b.output("y", OutputRole::fetch, make(b, x));
    return std::move(b).take();
  };
}

std::map<std::string, std::pair<DType, Body>> kernels() {
  const auto gelu = [](GraphBuilder& b, ValueId x) {
    Attributes exact;
    exact.set("approximate", std::string("none"));
    return b.one(Op::gelu, {x}, exact);
  };
  const auto softmax = [](GraphBuilder& b, ValueId x) {
    const ValueId e = b.unary(Op::exp, b.sub(x, b.reduce(Op::reduce_max, x, {1}, true)));
    return b.div(e, b.reduce(Op::reduce_sum, e, {1}, true));
  };
  return {{"add", {DType::f32, body_of(DType::f32, [](GraphBuilder& b, ValueId x) { return b.add(x, x); })}},
          {"gelu", {DType::f32, body_of(DType::f32, gelu)}},
          {"gelu_bf16", {DType::bf16, body_of(DType::bf16, gelu)}},
          {"softmax", {DType::f32, body_of(DType::f32, softmax)}}};
}

loops::Kernel loops_of(const Graph& body, const cpu::JitTarget& target) {
  loops::RowsKernel made = loops::make_rows(body, {target.register_bytes});
  if (!made.refusal.empty()) throw InternalError("bench_jit: " + made.refusal);
  return std::move(made.kernel);
}

class Bench {
 public:
  explicit Bench(bool quick) : quick_(quick) {}

  Json instruction_set(CpuIsa isa) {
    Json result;
    for (const auto& [name, kernel] : kernels()) {
      const auto& [type, body] = kernel;
      Json row;
      row["compile_ms"] = compile_times(isa, loops_of(body(1 << 20), cpu::jit_target(isa)));
      for (const auto& [where, bytes] : {std::pair("cache", std::int64_t{1} << 19), {"memory", std::int64_t{1} << 26}})
        row["gb_per_s"][where] = throughput(isa, body(bytes / static_cast<std::int64_t>(size_of(type))), bytes);
      result[name] = row;
    }
    return result;
  }

  Json copies() {
    Json result;
    for (const auto& [where, bytes] : {std::pair("cache", std::size_t{1} << 19), {"memory", std::size_t{1} << 26}}) {
      std::vector<std::byte> from(bytes, std::byte{1}), to(bytes);
      result[where] = rate(bytes, [&] { std::memcpy(to.data(), from.data(), bytes); });
    }
    return result;
  }

 private:
  Json compile_times(CpuIsa isa, const loops::Kernel& kernel) {
    const int times = quick_ ? 3 : 15;
    const testing::TemporaryFolder folder;
    cpu::KernelCompiler cold(isa);
    cpu::KernelCompiler warm(isa, {folder.path() / "cache"});
    warm.compile(kernel);
    Json result;
    result["cold"] = 1e3 * median_seconds(times, [&] { cold.compile(kernel); });
    result["warm"] = 1e3 * median_seconds(times, [&] { warm.compile(kernel); });
    return result;
  }

  double throughput(CpuIsa isa, const Graph& body, std::int64_t bytes) {
    const loops::Kernel kernel = loops_of(body, cpu::jit_target(isa));
    cpu::KernelCompiler compiler(isa);
    const auto code = compiler.compile(kernel);
    std::vector<std::byte> x(static_cast<std::size_t>(bytes)), y(x.size());
    std::byte* const arguments[] = {x.data(), y.data()};
    return rate(x.size(), [&] {
      for (std::size_t p = 0; p < kernel.phases.size(); ++p) code->phases()[p](arguments, 0, kernel.phases[p].extent);
    });
  }

  /// `bytes` read and as many written, in GB/s.
  double rate(std::size_t bytes, const std::function<void()>& work) {
    const std::size_t repeats = std::max<std::size_t>(1, (std::size_t{1} << (quick_ ? 24 : 26)) / bytes);
    work();
    const double seconds = median_seconds(quick_ ? 3 : 9, [&] {
      for (std::size_t i = 0; i < repeats; ++i) work();
    });
    return 2e-9 * static_cast<double>(bytes * repeats) / seconds;
  }

  bool quick_;
};

std::vector<CpuIsa> instruction_sets() {
  std::vector<CpuIsa> found;
  for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2, CpuIsa::baseline}) try {
      found.push_back(resolve_isa(isa));
    } catch (const UserError&) {
    }
  return found;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  using namespace weft;
  bool quick = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--assembly" && i + 1 < argc && kernels().contains(argv[i + 1])) {
      const cpu::JitTarget target = cpu::jit_target(CpuIsa::automatic);
      fmt::print("{}", cpu::assembly_text(loops_of(kernels().at(argv[i + 1]).second(1 << 20), target), target));
      return 0;
    } else {
      fmt::print(stderr, "bench_jit [--quick] [--assembly add|gelu|gelu_bf16|softmax]\n");
      return 2;
    }
  }
  Bench bench(quick);
  nlohmann::ordered_json report;
  report["memcpy_gb_per_s"] = bench.copies();
  for (const CpuIsa isa : instruction_sets()) report[std::string(name_of(isa))] = bench.instruction_set(isa);
  fmt::print("{}\n", report.dump(2));
}
