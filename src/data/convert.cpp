// Element conversions, one loop for each pair of types.
#include "src/data/convert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "weft/error.hpp"

namespace weft {

namespace {

template <class T>
constexpr bool kIsFloat =
    std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

// What a stored element is read as: a byte for bool, since any byte may be there.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

template <class T, class S>
auto value_of(S x) {
  if constexpr (std::is_same_v<T, bool>)
    return x != 0;
  else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return static_cast<float>(x);
  else
    return x;
}

template <class To, class X>
To to_float(X x) {
  if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>)
    return To(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

template <class From, class To>
void convert_integers(const Stored<From>* in, To* out, std::int64_t count) {
  bool fits = true;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = value_of<From>(in[i]);
    out[i] = static_cast<To>(x);
    if constexpr (!std::is_same_v<From, bool>) fits &= std::in_range<To>(x);
  }
  if constexpr (!std::is_same_v<From, bool>)
    for (std::int64_t i = 0; !fits && i < count; ++i)
      if (!std::in_range<To>(in[i]))
        throw UserError(fmt::format("value {} does not fit {}", in[i], name_of(dtype_of<To>())));
}

}  // namespace

void convert_plain(DType from, DType to, const std::byte* in, std::byte* out, std::int64_t count) {
  if (from == to && from != DType::boolean) {
    std::memcpy(out, in, static_cast<std::size_t>(count) * size_of(from));
    return;
  }
  visit_dtype(from, [&]<class From>(TypeTag<From>) {
    const auto* source = reinterpret_cast<const Stored<From>*>(in);
    visit_dtype(to, [&]<class To>(TypeTag<To>) {
      auto* target = reinterpret_cast<To*>(out);
      if constexpr (kIsFloat<To>) {
        for (std::int64_t i = 0; i < count; ++i) target[i] = to_float<To>(value_of<From>(source[i]));
      } else if constexpr (std::is_same_v<To, bool> && std::is_same_v<From, bool>) {
        for (std::int64_t i = 0; i < count; ++i) target[i] = source[i] != 0;
      } else if constexpr (!kIsFloat<From> && !std::is_same_v<To, bool>) {
        convert_integers<From, To>(source, target, count);
      } else {
        throw InternalError("a conversion that loses values was asked for");
      }
    });
  });
}

void convert_affine(DType from, DType to, double factor, double offset, const std::byte* in, std::byte* out,
                    std::int64_t count) {
  visit_dtype(from, [&]<class From>(TypeTag<From>) {
    const auto* source = reinterpret_cast<const Stored<From>*>(in);
    visit_dtype(to, [&]<class To>(TypeTag<To>) {
      if constexpr (kIsFloat<To>) {
        auto* target = reinterpret_cast<To*>(out);
        for (std::int64_t i = 0; i < count; ++i)
          target[i] = to_float<To>(static_cast<double>(value_of<From>(source[i])) * factor + offset);
      } else {
        throw InternalError("an affine conversion gives floats only");
      }
    });
  });
}

std::vector<std::byte> u8_table(DType to, const std::function<double(double)>& function) {
  std::vector<std::byte> table(256 * size_of(to));
  visit_dtype(to, [&]<class To>(TypeTag<To>) {
    if constexpr (kIsFloat<To>)
      for (int x = 0; x < 256; ++x) {
        const To value = to_float<To>(function(x));
        std::memcpy(table.data() + static_cast<std::size_t>(x) * sizeof value, &value, sizeof value);
      }
    else
      throw InternalError("a table of bytes gives floats only");
  });
  return table;
}

namespace {

template <class Word>
void look_up(const std::byte* table, const std::byte* in, std::byte* out, std::int64_t count) {
  const auto* words = reinterpret_cast<const Word*>(table);
  auto* target = reinterpret_cast<Word*>(out);
  for (std::int64_t i = 0; i < count; ++i) target[i] = words[std::to_integer<std::size_t>(in[i])];
}

}  // namespace

void look_up_u8(const std::byte* table, DType to, const std::byte* in, std::byte* out, std::int64_t count) {
  switch (size_of(to)) {
    case 2: look_up<std::uint16_t>(table, in, out, count); break;
    case 4: look_up<std::uint32_t>(table, in, out, count); break;
    default: look_up<std::uint64_t>(table, in, out, count); break;
  }
}

void reverse_elements(std::byte* elements, std::int64_t count, std::size_t size) {
  const auto reverse = [&]<class Word>(TypeTag<Word>) {
    auto* words = reinterpret_cast<Word*>(elements);
    std::reverse(words, words + count);
  };
  switch (size) {
    case 1: reverse(TypeTag<std::uint8_t>{}); break;
    case 2: reverse(TypeTag<std::uint16_t>{}); break;
    case 4: reverse(TypeTag<std::uint32_t>{}); break;
    default: reverse(TypeTag<std::uint64_t>{}); break;
  }
}

std::optional<std::int64_t> first_outside(DType type, const std::byte* values, std::int64_t count, std::int64_t classes,
                                          std::optional<std::int64_t> ignored) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> std::optional<std::int64_t> {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const auto* x = reinterpret_cast<const T*>(values);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto v = static_cast<std::int64_t>(x[i]);
        if ((v < 0 || v >= classes) && (!ignored || v != *ignored)) return v;
      }
    }
    return std::nullopt;
  });
}

}  // namespace weft
