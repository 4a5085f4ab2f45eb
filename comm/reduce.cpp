// Reductions work through the arrays in blocks that stay in the first-level cache: a block of the accumulator is
// filled from the first source, combined with the others, and only then written, so that `to` may be any source.
#include "comm/reduce.hpp"

#include <algorithm>
#include <cstring>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::int64_t kBlock = 1024;

template <class T>
struct Accumulator {
  using type = T;
};
template <>
struct Accumulator<Half> {
  using type = float;
};
template <>
struct Accumulator<BFloat16> {
  using type = float;
};

// Signed integers wrap like unsigned ones: an overflowing sum is the caller's concern, never undefined behaviour.
struct Sum {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (std::is_same_v<T, bool>)
      return a || b;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    else
      return a + b;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return (b > a || b != b) ? b : a;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return (b < a || b != b) ? b : a;
  }
};

template <class T, class Combine>
void reduce_typed(std::span<const std::byte* const> sources, std::byte* to_bytes, std::int64_t count, Combine combine) {
  using A = typename Accumulator<T>::type;
  T* to = reinterpret_cast<T*>(to_bytes);
  if (sources.size() == 2 && std::is_same_v<A, T>) {
    const T* a = reinterpret_cast<const T*>(sources[0]);
    const T* b = reinterpret_cast<const T*>(sources[1]);
    // `to` may be `a` or `b`, element by element: no dependence between iterations.
#pragma GCC ivdep
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = static_cast<T>(combine(static_cast<A>(a[i]), static_cast<A>(b[i])));
    return;
  }
  A block[kBlock];
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t n = std::min(kBlock, count - start);
    const T* first = reinterpret_cast<const T*>(sources[0]) + start;
    for (std::int64_t i = 0; i < n; ++i) block[i] = static_cast<A>(first[i]);
    for (std::size_t s = 1; s < sources.size(); ++s) {
      const T* next = reinterpret_cast<const T*>(sources[s]) + start;
      for (std::int64_t i = 0; i < n; ++i) block[i] = combine(block[i], static_cast<A>(next[i]));
    }
    for (std::int64_t i = 0; i < n; ++i) to[start + i] = static_cast<T>(block[i]);
  }
}

}  // namespace

void reduce_sources(std::span<const std::byte* const> sources, std::byte* to, std::int64_t count, DType type,
                    ReduceKind kind) {
  check_internal(!sources.empty(), "reduce_sources: no sources");
  if (count == 0) return;
  if (sources.size() == 1) {
    std::memmove(to, sources[0], static_cast<std::size_t>(count) * size_of(type));
    return;
  }
  visit_dtype(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    switch (kind) {
      case ReduceKind::sum: return reduce_typed<T>(sources, to, count, Sum{});
      case ReduceKind::max: return reduce_typed<T>(sources, to, count, Max{});
      case ReduceKind::min: return reduce_typed<T>(sources, to, count, Min{});
    }
  });
}

}  // namespace weft
