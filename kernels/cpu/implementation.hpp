// What every CPU kernel family offers to the oracle: a name, a claim on bodies, and a compiler for what it claimed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/cpu/isa.hpp"
#include "weft/device.hpp"
#include "weft/kernel.hpp"

namespace weft::cpu {

struct OnednnEngine;
struct TileOps;
class KernelCompiler;
class ScheduleChoices;
std::shared_ptr<const OnednnEngine> make_onednn_engine();

/// What claims and compilations depend on, besides the body. Kernels keep a copy, and with it what they point into.
struct Context {
  CpuIsa isa = CpuIsa::baseline;
  int threads = 1;
  bool fast_math = false;                ///< see Target
  std::shared_ptr<const TileOps> tiles;  ///< of `isa`
  std::shared_ptr<const OnednnEngine> onednn;
  std::shared_ptr<KernelCompiler> compiler;          ///< of generated kernels, for `isa`
  std::shared_ptr<const ScheduleChoices> schedules;  ///< of generated kernels; null: the default for all
  double peak_flops = 1e11;                          ///< f32, all threads together; assumed, for estimates only
  double peak_bytes = 1.5e10;                        ///< memory bytes a second, all threads together; likewise
};

class CpuKernel : public Kernel {
 public:
  /// Arguments as Device::launch takes them. Runs on the calling thread and the OpenMP team.
  virtual void run(std::span<std::byte* const> arguments) const = 0;
};

/// A body taken (`spec` set), or the reason why not.
struct Claim {
  std::optional<KernelSpec> spec;
  std::string reason;
  double efficiency = 1;  ///< roughly, beside the library's best kernels: for estimates that compare

  static Claim refuse(std::string why) { return {std::nullopt, std::move(why)}; }
  static Claim take(KernelSpec spec, double efficiency = 1) { return {std::move(spec), {}, efficiency}; }
};

struct Implementation {
  std::string_view name;
  Claim (*claim)(const Graph& body, const Context& context);
  std::unique_ptr<CpuKernel> (*compile)(const KernelSpec& spec, const Context& context);
};

/// All families, best first: the oracle asks them in this order.
std::span<const Implementation> implementations();

/// A spec for `body` with every unset input and output layout made row-major.
KernelSpec row_major_spec(const Graph& body, std::string_view implementation);
/// True when every input and output of `body` is free or row-major.
bool is_row_major(const Graph& body);
/// Bytes of all inputs and outputs, as laid out.
double operand_bytes(const Graph& body);

}  // namespace weft::cpu
