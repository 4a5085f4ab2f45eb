// The fast paths are f32 sums, moments and extremes; all else is plain loops.
#include "kernels/cpu/accumulate.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/scalar_ops.hpp"

namespace weft::cpu {
namespace {

template <class T>
using Wide = std::conditional_t<
    std::is_floating_point_v<T>, double,
    std::conditional_t<std::is_same_v<T, bool> || std::is_unsigned_v<T>, std::uint64_t, std::int64_t>>;

template <class W>
W read(const std::uint64_t* state) {
  return std::bit_cast<W>(*state);
}
template <class W>
void write(std::uint64_t* state, W value) {
  *state = std::bit_cast<std::uint64_t>(value);
}

template <class T>
Wide<T> initial(ReductionKind kind) {
  using W = Wide<T>;
  switch (kind) {
    case ReductionKind::max:
      if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<double>::infinity();
      return static_cast<W>(std::numeric_limits<T>::lowest());
    case ReductionKind::min:
      if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<double>::infinity();
      return static_cast<W>(std::numeric_limits<T>::max());
    case ReductionKind::prod: return W{1};
    default: return W{};
  }
}

template <class W>
W combined(ReductionKind kind, W a, W b) {
  if constexpr (std::is_floating_point_v<W>) {
    switch (kind) {
      case ReductionKind::max: return a > b || std::isnan(a) ? a : b;
      case ReductionKind::min: return a < b || std::isnan(a) ? a : b;
      case ReductionKind::prod: return a * b;
      default: return a + b;
    }
  } else {
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    switch (kind) {
      case ReductionKind::max: return a > b ? a : b;
      case ReductionKind::min: return a < b ? a : b;
      case ReductionKind::prod: return static_cast<W>(x * y);
      default: return static_cast<W>(x + y);
    }
  }
}

double* doubles(std::uint64_t* words) { return reinterpret_cast<double*>(words); }

}  // namespace

Accumulator::Accumulator(ReductionKind kind, DType type, const TileOps& ops)
    : kind_(kind), type_(compute_type(type)), ops_(&ops) {}

void Accumulator::clear(std::uint64_t* state, std::int64_t columns, const void* first) const {
  visit_dtype(type_, [&]<class T>(TypeTag<T>) {
    if constexpr (std::is_arithmetic_v<T>) {
      if (kind_ == ReductionKind::moments) {
        for (std::int64_t c = 0; c < columns; ++c) {
          const double shift = first == nullptr ? 0.0 : static_cast<double>(static_cast<const T*>(first)[c]);
          write(state + c, std::isfinite(shift) ? shift : 0.0);
          write(state + columns + c, 0.0);
          write(state + 2 * columns + c, 0.0);
        }
      } else {
        for (std::int64_t c = 0; c < columns; ++c) write(state + c, initial<T>(kind_));
      }
    }
  });
}

void Accumulator::add(std::uint64_t* state, const void* tile, std::int64_t rows, std::int64_t columns) const {
  if (rows == 0) return;
  if (type_ == DType::f32) {
    const float* x = static_cast<const float*>(tile);
    if (kind_ == ReductionKind::sum) {
      if (columns == 1)
        *doubles(state) += ops_->sum(x, rows);
      else
        ops_->sum_rows(x, rows, columns, doubles(state));
      return;
    }
    if (kind_ == ReductionKind::moments) {
      if (columns == 1) {
        double sum = 0, squares = 0;
        ops_->sum_squares(x, rows, doubles(state)[0], &sum, &squares);
        doubles(state)[1] += sum;
        doubles(state)[2] += squares;
      } else {
        double* s = doubles(state);
        ops_->sum_squares_rows(x, rows, columns, s, s + columns, s + 2 * columns);
      }
      return;
    }
    if (columns == 1 && kind_ != ReductionKind::prod) {
      const float best = kind_ == ReductionKind::max ? ops_->max(x, rows) : ops_->min(x, rows);
      *doubles(state) = combined(kind_, static_cast<double>(best), *doubles(state));
      return;
    }
  }
  visit_dtype(type_, [&]<class T>(TypeTag<T>) {
    if constexpr (std::is_arithmetic_v<T>) {
      const T* x = static_cast<const T*>(tile);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) {
          if (kind_ == ReductionKind::moments) {
            double* s = doubles(state);
            const double d = static_cast<double>(*x++) - s[c];
            s[columns + c] += d;
            s[2 * columns + c] += d * d;
          } else {
            using W = Wide<T>;
            write(state + c, combined(kind_, read<W>(state + c), static_cast<W>(*x++)));
          }
        }
    }
  });
}

void Accumulator::join(std::uint64_t* state, const std::uint64_t* other, std::int64_t columns) const {
  visit_dtype(type_, [&]<class T>(TypeTag<T>) {
    if constexpr (std::is_arithmetic_v<T>) {
      if (kind_ == ReductionKind::moments) {
        for (std::int64_t c = columns; c < 3 * columns; ++c)
          write(state + c, read<double>(state + c) + read<double>(other + c));
      } else {
        using W = Wide<T>;
        for (std::int64_t c = 0; c < columns; ++c)
          write(state + c, combined(kind_, read<W>(state + c), read<W>(other + c)));
      }
    }
  });
}

void Accumulator::finish(const std::uint64_t* state, std::int64_t columns, std::int64_t column, std::int64_t count,
                         DType type, std::byte* to, std::byte* variance, std::int64_t index) const {
  visit_dtype(type, [&]<class R>(TypeTag<R>) {
    R* result = reinterpret_cast<R*>(to);
    if (kind_ == ReductionKind::moments) {
      const double n = static_cast<double>(count);
      const double shift = read<double>(state + column);
      const double mean = read<double>(state + columns + column) / n;
      const double spread = read<double>(state + 2 * columns + column) / n - mean * mean;
      if (to != nullptr) result[index] = convert<R>(shift + mean);
      if (variance != nullptr) reinterpret_cast<R*>(variance)[index] = convert<R>(spread < 0 ? 0.0 : spread);
      return;
    }
    using W = Wide<ComputeType<R>>;
    const W value = read<W>(state + column);
    if constexpr (std::is_integral_v<R> && !std::is_same_v<R, bool>)
      result[index] = static_cast<R>(value);  // integers wrap
    else
      result[index] = convert<R>(value);
  });
}

}  // namespace weft::cpu
