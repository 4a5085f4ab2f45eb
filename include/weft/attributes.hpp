// Attributes: the static parameters of a node, by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft {

using Attribute =
    std::variant<std::int64_t, double, std::string, Dims, std::vector<double>, std::vector<std::string>, DType>;

/// A small ordered map. Getters throw InternalError naming the attribute when it is absent or of another type:
/// nodes are checked against the operator table when they are made.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Attribute>> entries) : entries_(entries) {}

  void set(std::string name, Attribute value) { entries_[std::move(name)] = std::move(value); }
  bool has(std::string_view name) const { return entries_.find(name) != entries_.end(); }

  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;  ///< an integer is accepted too
  const std::string& text(std::string_view name) const;
  const Dims& integers(std::string_view name) const;
  const std::vector<std::string>& texts(std::string_view name) const;
  DType dtype(std::string_view name) const;

  const auto& entries() const { return entries_; }
  bool operator==(const Attributes&) const = default;
  /// "{axis=1, pads=[1, 1]}", or "" when empty.
  std::string str() const;

 private:
  const Attribute& at(std::string_view name) const;
  std::map<std::string, Attribute, std::less<>> entries_;
};

}  // namespace weft
