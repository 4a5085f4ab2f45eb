// Typed access to attributes and their text form.
#include "weft/attributes.hpp"

#include <fmt/format.h>

#include "weft/error.hpp"

namespace weft {
namespace {

template <class T>
const T& get(const Attribute& attribute, std::string_view name) {
  const T* value = std::get_if<T>(&attribute);
  if (value == nullptr) throw InternalError(fmt::format("attribute '{}' has another type than was asked for", name));
  return *value;
}

std::string text_of(const Attribute& attribute) {
  return std::visit(
      []<class T>(const T& v) -> std::string {
        if constexpr (std::is_same_v<T, std::string>)
          return fmt::format("\"{}\"", v);
        else if constexpr (std::is_same_v<T, DType>)
          return std::string(name_of(v));
        else if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, double>)
          return fmt::format("{}", v);
        else
          return fmt::format("[{}]", fmt::join(v, ", "));
      },
      attribute);
}

}  // namespace

const Attribute& Attributes::at(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) throw InternalError(fmt::format("attribute '{}' is missing from {}", name, str()));
  return it->second;
}

std::int64_t Attributes::integer(std::string_view name) const { return get<std::int64_t>(at(name), name); }
double Attributes::number(std::string_view name) const {
  const Attribute& a = at(name);
  if (const auto* i = std::get_if<std::int64_t>(&a)) return static_cast<double>(*i);
  return get<double>(a, name);
}
const std::string& Attributes::text(std::string_view name) const { return get<std::string>(at(name), name); }
const Dims& Attributes::integers(std::string_view name) const { return get<Dims>(at(name), name); }
const std::vector<std::string>& Attributes::texts(std::string_view name) const {
  return get<std::vector<std::string>>(at(name), name);
}
DType Attributes::dtype(std::string_view name) const { return get<DType>(at(name), name); }

std::string Attributes::str() const {
  if (entries_.empty()) return "";
  std::string text = "{";
  for (const auto& [name, value] : entries_)
    text += fmt::format("{}{}={}", text.size() > 1 ? ", " : "", name, text_of(value));
  return text + "}";
}

}  // namespace weft
