// Tensor storage and conversion.
#include "weft/tensor.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

namespace weft {
namespace {

constexpr std::size_t kAlignment = 64;

/// Zeros. Large ones come from the system as they are and take no memory until they are written: moments of an
/// optimiser begin as such tensors.
std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  if (bytes > SIZE_MAX - kAlignment) throw SystemError(fmt::format("no machine has {} bytes for a tensor", bytes));
  void* memory = std::calloc(bytes + kAlignment, 1);
  if (memory == nullptr) throw SystemError(fmt::format("out of host memory allocating {} bytes for a tensor", bytes));
  void* aligned = memory;
  std::size_t room = bytes + kAlignment;
  aligned = std::align(kAlignment, bytes, aligned, room);
  return {static_cast<std::byte*>(aligned), [memory](std::byte*) { std::free(memory); }};
}

/// The widest type that carries `From` without loss, for conversion.
template <class From>
auto widen(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>)
    return static_cast<float>(value);
  else
    return value;
}

template <class To, class From>
To convert(From value) {
  const auto wide = widen(value);
  using Wide = decltype(wide);
  if constexpr (std::is_same_v<To, bool>)
    return wide != Wide{};
  else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>)
    return To(static_cast<float>(wide));
  else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<Wide>) {
    if (std::isnan(wide)) return To{};
    const double d = static_cast<double>(wide);
    // 2^63 and 2^64 are not representable in To: compare with >= against the exact power of two above the maximum.
    const double above = std::ldexp(1.0, std::numeric_limits<To>::digits);
    if (d >= above) return std::numeric_limits<To>::max();
    if (d <= static_cast<double>(std::numeric_limits<To>::lowest())) return std::numeric_limits<To>::lowest();
    return static_cast<To>(d);
  } else
    return static_cast<To>(wide);
}

}  // namespace

Tensor::Tensor(DType type, Shape shape) : dtype_(type), shape_(std::move(shape)) {
  std::int64_t total = 0;
  if (__builtin_mul_overflow(shape_.elements(), static_cast<std::int64_t>(size_of(type)), &total))
    throw UserError(
        fmt::format("a tensor of shape {} and type {} does not fit an address space", shape_.str(), name_of(type)));
  storage_ = allocate(bytes());
}

Tensor Tensor::full(DType type, Shape shape, double value) {
  Tensor t(type, std::move(shape));
  if (value == 0 && !std::signbit(value)) return t;
  visit_dtype(type, [&]<class T>(TypeTag<T>) {
    for (T& x : t.mutable_values<T>()) x = convert<T>(value);
  });
  return t;
}

std::byte* Tensor::mutable_data() {
  if (storage_.use_count() > 1) {
    auto copy = allocate(bytes());
    std::memcpy(copy.get(), storage_.get(), bytes());
    storage_ = std::move(copy);
  }
  return storage_.get();
}

double Tensor::as_double(std::int64_t i) const {
  return visit_dtype(dtype_,
                     [&]<class T>(TypeTag<T>) { return convert<double>(values<T>()[static_cast<std::size_t>(i)]); });
}

std::int64_t Tensor::as_int(std::int64_t i) const {
  return visit_dtype(
      dtype_, [&]<class T>(TypeTag<T>) { return convert<std::int64_t>(values<T>()[static_cast<std::size_t>(i)]); });
}

Tensor Tensor::reshaped(Shape shape) const {
  check_internal(shape.elements() == elements(), "Tensor::reshaped: element counts differ");
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::cast(DType type) const {
  if (type == dtype_) return *this;
  Tensor result(type, shape_);
  visit_dtype(dtype_, [&]<class From>(TypeTag<From>) {
    const auto from = values<From>();
    visit_dtype(type, [&]<class To>(TypeTag<To>) {
      auto to = result.mutable_values<To>();
      for (std::size_t i = 0; i < from.size(); ++i) to[i] = convert<To>(from[i]);
    });
  });
  return result;
}

bool Tensor::identical(const Tensor& other) const {
  return dtype_ == other.dtype_ && shape_ == other.shape_ && std::memcmp(data(), other.data(), bytes()) == 0;
}

void Tensor::check_type(DType type) const {
  if (type != dtype_) throw InternalError(fmt::format("tensor of type {} read as {}", name_of(dtype_), name_of(type)));
}

}  // namespace weft
