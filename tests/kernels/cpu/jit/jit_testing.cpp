// Values to test with, and running kernels.
#include "jit_testing.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <memory>
#include <random>

#include "weft/error.hpp"

namespace weft::cpu::testing {

std::vector<CpuIsa> instruction_sets() {
  std::vector<CpuIsa> found;
  for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2, CpuIsa::baseline}) try {
      found.push_back(resolve_isa(isa));
    } catch (const UserError&) {
    }
  return found;
}

KernelCompiler& compiler_of(CpuIsa isa) {
  static std::array<std::unique_ptr<KernelCompiler>, 4> compilers;
  auto& compiler = compilers[static_cast<std::size_t>(isa)];
  if (!compiler) compiler = std::make_unique<KernelCompiler>(isa);
  return *compiler;
}

void run_kernel(const KernelCode& code, const loops::Kernel& kernel, std::vector<std::byte*> arguments) {
  for (std::size_t i = 0; i < kernel.phases.size(); ++i) {
    const std::int64_t extent = kernel.phases[i].extent;
    code.phases()[i](arguments.data(), extent / 2, extent);
    code.phases()[i](arguments.data(), 0, extent / 2);
  }
}

void compile_and_run(CpuIsa isa, const loops::Kernel& kernel, std::vector<std::byte*> arguments) {
  run_kernel(*compiler_of(isa).compile(kernel), kernel, std::move(arguments));
}

namespace {

template <class T>
T draw(std::mt19937_64& random, std::size_t i) {
  if constexpr (std::is_same_v<T, bool>) {
    return random() % 2 != 0;
  } else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    T value;
    value.bits = static_cast<std::uint16_t>(random());
    if (i % 4 == 0) value = T(static_cast<float>(static_cast<int>(random() % 41) - 20) / 4);
    return value;
  } else if constexpr (std::is_floating_point_v<T>) {
    using Limits = std::numeric_limits<T>;
    const T special[] = {T(0),
                         -T(0),
                         T(1),
                         T(-1),
                         Limits::infinity(),
                         -Limits::infinity(),
                         Limits::quiet_NaN(),
                         Limits::denorm_min(),
                         -Limits::denorm_min(),
                         Limits::min(),
                         Limits::max(),
                         Limits::lowest(),
                         T(0.5),
                         T(1.5),
                         T(2.5),
                         T(-0.5),
                         T(127),
                         T(128),
                         T(-128.5),
                         T(255.5),
                         T(32767),
                         T(65520),
                         T(2147483647),
                         T(2147483648.0),
                         T(-2147483648.0),
                         T(4294967296.0),
                         T(9223372036854775808.0),
                         T(-9223372036854775808.0),
                         T(18446744073709551616.0),
                         T(-0.9),
                         T(1e-39),
                         T(3e-8)};
    if (i % 3 == 0) return special[random() % std::size(special)];
    if (i % 3 == 1) return static_cast<T>(static_cast<double>(random() % 2001) / 100 - 10);
    return std::ldexp(static_cast<T>(static_cast<double>(random() % 20001) / 10000 - 1),
                      static_cast<int>(random() % 140) - 70);
  } else {
    using Limits = std::numeric_limits<T>;
    const T special[] = {T(0), T(1), static_cast<T>(-1), Limits::min(), Limits::max(), T(7), T(8), T(31), T(64)};
    if (i % 3 == 0) return special[random() % std::size(special)];
    if (i % 3 == 1) return static_cast<T>(random() % 40);
    return static_cast<T>(random());
  }
}

}  // namespace

std::vector<std::byte> interesting_values(DType type, std::size_t count, unsigned seed) {
  std::vector<std::byte> bytes(count * size_of(type));
  std::mt19937_64 random(seed);
  visit_dtype(type, [&]<class T>(TypeTag<T>) {
    for (std::size_t i = 0; i < count; ++i) {
      const T value = draw<T>(random, i);
      std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
  });
  return bytes;
}

std::int64_t first_difference(DType type, const std::byte* a, const std::byte* b, std::size_t count) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> std::int64_t {
    for (std::size_t i = 0; i < count; ++i) {
      T x, y;
      std::memcpy(&x, a + i * sizeof(T), sizeof(T));
      std::memcpy(&y, b + i * sizeof(T), sizeof(T));
      if (std::memcmp(&x, &y, sizeof(T)) == 0) continue;
      if constexpr (!std::is_integral_v<T>) {
        const auto u = static_cast<double>(static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(x));
        const auto v = static_cast<double>(static_cast<std::conditional_t<sizeof(T) == 8, double, float>>(y));
        if (std::isnan(u) && std::isnan(v)) continue;
      }
      return static_cast<std::int64_t>(i);
    }
    return -1;
  });
}

std::string show(DType type, const std::byte* element) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> std::string {
    T x;
    std::memcpy(&x, element, sizeof(T));
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      return fmt::format("{} ({:#x})", static_cast<float>(x), x.bits);
    else if constexpr (std::is_floating_point_v<T>)
      return fmt::format("{} ({:a})", x, x);
    else
      return fmt::format("{}", x);
  });
}

}  // namespace weft::cpu::testing
