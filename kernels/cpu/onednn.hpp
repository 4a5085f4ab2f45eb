// oneDNN behind our types: memory descriptors from layouts and back, primitives as kernels, errors as ours.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/implementation.hpp"
#include "weft/layout.hpp"

namespace weft::cpu {

/// The library's CPU engine. Primitives point at theirs without owning it: kernels keep their Context, which does.
struct OnednnEngine {
  dnnl::engine engine;
};

std::optional<dnnl::memory::data_type> onednn_type(DType type);

/// The descriptor of exactly this placement.
dnnl::memory::desc onednn_desc(const Layout& layout, DType type);
/// The descriptor whose format the library may choose.
dnnl::memory::desc onednn_any(const Shape& shape, DType type);
/// nullopt for formats that a Layout cannot express (opaque, compensated).
std::optional<Layout> layout_of(const dnnl::memory::desc& desc);

/// Convolution weights [O, I, spatial...] as the library's [groups, O/groups, I, spatial...] when groups > 1.
std::optional<dnnl::memory::desc> onednn_weights_desc(const Layout& layout, DType type, std::int64_t groups);
dnnl::memory::desc onednn_weights_any(const Shape& shape, DType type, std::int64_t groups);
std::optional<Layout> weights_layout_of(const dnnl::memory::desc& desc, const Shape& shape, std::int64_t groups);

/// How good an implementation is: 2 generated for the shape, 1 through a matrix product, 0 the library's plain loops.
int quality_of(const dnnl::primitive_desc_base& descriptor);

/// Runs `f`; a dnnl::error becomes a SystemError (out of memory) or an InternalError naming `what`.
template <class F>
decltype(auto) onednn_call(const std::string& what, F&& f);
[[noreturn]] void rethrow_onednn(const dnnl::error& error, const std::string& what);

/// A primitive with its arguments bound to positions among the kernel's.
class PrimitiveKernel final : public CpuKernel {
 public:
  struct Binding {
    int slot = 0;              ///< DNNL_ARG_…
    std::size_t argument = 0;  ///< position in `run`'s arguments
    dnnl::memory::desc desc;
  };
  struct Options {
    std::string what;                ///< for messages: primitive and shapes
    std::int64_t scratch = 0;        ///< bytes; the last argument when not 0
    std::int64_t relu_elements = 0;  ///< > 0: relu over so many elements of `relu_argument` afterwards, NaN kept
    std::size_t relu_argument = 0;
    DType relu_type = DType::f32;
  };

  PrimitiveKernel(dnnl::primitive primitive, const std::vector<Binding>& bindings, Options options,
                  const Context& context);
  void run(std::span<std::byte* const> arguments) const override;

 private:
  struct Bound {
    dnnl::memory memory;
    std::size_t argument;
  };
  dnnl::engine engine_;
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  mutable std::vector<Bound> bound_;
  std::unordered_map<int, dnnl::memory> arguments_;
  Options options_;
  Context context_;
};

template <class F>
decltype(auto) onednn_call(const std::string& what, F&& f) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    rethrow_onednn(error, what);
  }
}

}  // namespace weft::cpu
