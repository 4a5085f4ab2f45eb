// The choices of values, types and shapes.
#include "tests/fuzz/drawing.hpp"

#include <fmt/format.h>

namespace weft::fuzz {

Drawing::Drawing(unsigned seed) : dice(seed) {
  const DType type = dice.chance(70) ? float_type() : any_type();
  const std::int64_t starts = dice.roll(1, 2);
  for (std::int64_t i = 0; i < starts; ++i) add(fresh(type, shape(0, 5)));
}

void Drawing::add(ValueId v) { pool.push_back(v); }

ValueId Drawing::any() {
  const auto n = static_cast<std::int64_t>(pool.size());
  const std::int64_t back = dice.chance(60) ? dice.roll(1, std::min<std::int64_t>(n, 2)) : dice.roll(1, n);
  return pool[static_cast<std::size_t>(n - back)];
}

std::optional<ValueId> Drawing::any_float() {
  for (int i = 0; i < 4; ++i)
    if (const ValueId v = any(); is_float(b.dtype(v))) return v;
  return std::nullopt;
}

std::optional<ValueId> Drawing::any_number() {
  for (int i = 0; i < 4; ++i)
    if (const ValueId v = any(); b.dtype(v) != DType::boolean) return v;
  return std::nullopt;
}

std::optional<ValueId> Drawing::any_of(DType type, const Shape& shape) {
  std::vector<ValueId> fitting;
  for (const ValueId v : pool)
    if (b.dtype(v) == type && b.shape(v) == shape) fitting.push_back(v);
  if (fitting.empty()) return std::nullopt;
  return fitting[static_cast<std::size_t>(dice.roll(0, std::ssize(fitting) - 1))];
}

ValueId Drawing::same_type(ValueId v) {
  if (dice.chance(65))
    if (const auto found = any_of(b.dtype(v), b.shape(v))) return *found;
  return fresh(b.dtype(v), b.shape(v));
}

ValueId Drawing::operand_for(ValueId v) {
  const Shape& shape = b.shape(v);
  const DType type = b.dtype(v);
  const std::int64_t kind = dice.roll(0, 9);
  if (kind <= 3 || shape.rank() == 0) return same_type(v);
  if (kind == 4) return b.full(type, shape, static_cast<double>(dice.roll(0, 4)) / (is_float(type) ? 2 : 1));
  if (kind == 5 && type != DType::boolean) return b.iota(type, shape, axis_of(v));
  const Dims dims = dice.some(shape.rank(), 50);
  Dims extents;
  for (const std::int64_t d : dims) extents.push_back(dice.chance(20) ? 1 : shape[static_cast<int>(d)]);
  const auto made = any_of(type, Shape(extents));
  return b.broadcast_in(made ? *made : fresh(type, Shape(extents)), shape, dims);
}

Tensor Drawing::values(DType type, const Shape& shape) {
  if (!is_float(type) || dice.chance(50)) return dice.values(type, shape);
  Tensor t(DType::f64, shape);
  const double scale = dice.chance(90) ? 2 : dice.pick({1e-3, 30.0, 1e3});
  for (double& x : t.mutable_values<double>()) x = static_cast<double>(dice.roll(-1000000, 1000000)) * 1e-6 * scale;
  if (dice.chance(4) && t.elements() > 0) {
    const double special = dice.pick({0.0, -0.0, double{INFINITY}, -double{INFINITY}, double{NAN}, 1e30, 1e-40});
    t.mutable_values<double>()[static_cast<std::size_t>(dice.roll(0, t.elements() - 1))] = special;
  }
  return t.cast(type);
}

ValueId Drawing::fresh(DType type, const Shape& shape) { return fresh(values(type, shape)); }

ValueId Drawing::fresh(Tensor value) {
  if (dice.chance(12)) return b.constant(std::move(value));
  const bool state = dice.chance(30);
  const std::string name = fmt::format("{}{}", state ? "w" : "x", inputs.size());
  const ValueId v = b.input(name, state ? InputRole::state : InputRole::feed, {value.dtype(), value.shape()});
  inputs.emplace(name, std::move(value));
  return v;
}

ValueId Drawing::weight(DType type, const Shape& shape) {
  const std::string name = fmt::format("w{}", inputs.size());
  const ValueId v = b.input(name, InputRole::state, {type, shape});
  inputs.emplace(name, values(type, shape));
  return v;
}

ValueId Drawing::indices(const Shape& shape, std::int64_t extent, bool outside_too) {
  Tensor t(DType::i64, shape);
  const std::int64_t reach = outside_too && dice.chance(20) ? 2 : 0;
  for (std::int64_t& i : t.mutable_values<std::int64_t>())
    i = dice.roll(0, std::max<std::int64_t>(0, extent - 1 + reach));
  if (reach > 0 && t.elements() > 0) t.mutable_values<std::int64_t>()[0] = -1;
  const bool narrow = reach == 0 && extent < 100;
  return fresh(narrow ? t.cast(dice.pick({DType::i64, DType::i64, DType::i32, DType::u8, DType::i16})) : t);
}

DType Drawing::float_type() {
  return dice.pick(
      {DType::f32, DType::f32, DType::f32, DType::f32, DType::f32, DType::bf16, DType::bf16, DType::f16, DType::f64});
}

DType Drawing::any_type() {
  if (dice.chance(50)) return float_type();
  return dice.pick(
      {DType::i64, DType::i32, DType::i16, DType::i8, DType::u64, DType::u32, DType::u16, DType::u8, DType::boolean});
}

std::int64_t Drawing::extent() {
  const std::int64_t kind = dice.roll(0, 19);
  if (kind < 3) return 1;
  if (kind == 3 && dice.chance(30)) return 0;
  if (kind < 13) return dice.roll(2, 6);
  if (kind < 18) return dice.pick<std::int64_t>({7, 8, 9, 15, 16, 17, 31, 32, 33});
  return dice.roll(30, 200);
}

Shape Drawing::shape(int lowest_rank, int highest_rank) {
  const auto rank = static_cast<int>(dice.roll(lowest_rank, highest_rank));
  Dims extents;
  std::int64_t elements = 1;
  for (int i = 0; i < rank; ++i) {
    // Equal extents now and then: what may lie over what must not follow from sizes.
    std::int64_t e = i > 0 && dice.chance(20) ? extents.back() : extent();
    if (elements * e > 4000) e = dice.roll(1, 3);
    elements *= std::max<std::int64_t>(e, 1);
    extents.push_back(e);
  }
  return Shape(std::move(extents));
}

}  // namespace weft::fuzz
