// Checks of operands and attributes, and their messages.
#include "graph/ir/ops/check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "weft/error.hpp"

namespace weft::ops {

void Check::fail(const std::string& reason) const {
  std::vector<std::string> types;
  for (const TensorType& t : operands_) types.push_back(t.str());
  throw UserError(fmt::format("operator {}: {}\n  operands: ({}){}{}", name_of(node_.op), reason,
                              fmt::join(types, ", "),
                              node_.attributes.entries().empty() ? "" : ", attributes: ", node_.attributes.str()));
}

void Check::attributes(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, value] : node_.attributes.entries())
    if (std::find(names.begin(), names.end(), name) == names.end())
      fail(fmt::format("does not know the attribute '{}'; it has [{}]", name, fmt::join(names, ", ")));
  for (const std::string_view name : names)
    if (!node_.attributes.has(name)) fail(fmt::format("needs the attribute '{}'", name));
}

void Check::signature(std::size_t operand_count, std::initializer_list<std::string_view> names) const {
  if (operands_.size() != operand_count)
    fail(fmt::format("takes {} operand{}, not {}", operand_count, operand_count == 1 ? "" : "s", operands_.size()));
  attributes(names);
}

DType Check::contraction(std::initializer_list<std::string_view> names) const {
  if (!node_.attributes.has("dtype")) {
    signature(2, names);
    same_dtype(0, 1);
    return dtype(0);
  }
  Node plain;
  plain.op = node_.op;
  for (const auto& [name, value] : node_.attributes.entries())
    if (name != "dtype") plain.attributes.set(name, value);
  Check(plain, operands_).contraction(names);
  const DType result = type("dtype");
  if (result != DType::f32 || (dtype(0) != DType::f16 && dtype(0) != DType::bf16))
    fail("attribute 'dtype' may only say f32, of f16 or bf16 operands");
  return result;
}

void Check::floating(int i) const {
  if (!is_float(dtype(i))) fail(fmt::format("operand {} must be floating-point", i));
}
void Check::numeric(int i) const {
  if (dtype(i) == DType::boolean) fail(fmt::format("operand {} must be a number, not bool", i));
}
void Check::integral(int i) const {
  if (!is_integer(dtype(i))) fail(fmt::format("operand {} must be of an integer type", i));
}
void Check::scalar(int i, DType type) const {
  if (dtype(i) != type || shape(i).rank() != 0) fail(fmt::format("operand {} must be a scalar {}", i, name_of(type)));
}
void Check::same_dtype(int i, int j) const {
  if (dtype(i) != dtype(j)) fail(fmt::format("operands {} and {} must have the same element type", i, j));
}
void Check::same_type(int i, int j) const {
  same_dtype(i, j);
  if (shape(i) != shape(j)) fail(fmt::format("operands {} and {} must have the same shape", i, j));
}

template <class T>
const T& Check::get(std::string_view name, const char* kind) const {
  if (!node_.attributes.has(name)) fail(fmt::format("needs the attribute '{}'", name));
  const T* value = std::get_if<T>(&node_.attributes.entries().find(std::string(name))->second);
  if (value == nullptr) fail(fmt::format("attribute '{}' must be {}", name, kind));
  return *value;
}

std::int64_t Check::integer(std::string_view name, std::int64_t low, std::int64_t high) const {
  const std::int64_t value = get<std::int64_t>(name, "an integer");
  if (value < low || value > high)
    fail(high == INT64_MAX ? fmt::format("attribute '{}' must be at least {}, not {}", name, low, value)
                           : fmt::format("attribute '{}' must be in [{}, {}], not {}", name, low, high, value));
  return value;
}

double Check::number(std::string_view name, double low, double high) const {
  const double value = get<double>(name, "a floating-point number");
  if (!(value >= low && value < high))
    fail(fmt::format("attribute '{}' must be in [{}, {}), not {}", name, low, high, value));
  return value;
}

std::string Check::text(std::string_view name, std::initializer_list<std::string_view> allowed) const {
  const std::string& value = get<std::string>(name, "a text");
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    fail(fmt::format("attribute '{}' must be one of [{}], not '{}'", name, fmt::join(allowed, ", "), value));
  return value;
}

DType Check::type(std::string_view name) const { return get<DType>(name, "an element type"); }

Dims Check::dims(std::string_view name, std::int64_t low, std::int64_t high) const {
  const Dims& value = get<Dims>(name, "a list of integers");
  for (const std::int64_t d : value)
    if (d < low || d > high)
      fail(fmt::format("attribute '{}' must have entries in [{}, {}], not {}", name, low, high, d));
  return value;
}

Dims Check::dims_of(std::string_view name, std::size_t count, std::int64_t low, std::int64_t high) const {
  Dims value = dims(name, low, high);
  if (value.size() != count)
    fail(fmt::format("attribute '{}' must have {} entries, not {}", name, count, value.size()));
  return value;
}

Dims Check::axes(std::string_view name, int rank) const {
  Dims value = dims(name, 0, rank - 1);
  Dims sorted = value;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    fail(fmt::format("attribute '{}' names a dimension twice", name));
  return value;
}

Shape Check::shape_attribute(std::string_view name) const { return Shape(dims(name, 0)); }

}  // namespace weft::ops
