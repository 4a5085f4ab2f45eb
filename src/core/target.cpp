// How a Target reads.
#include "weft/target.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace weft {

std::string Target::str() const {
  static constexpr const char* kKinds[] = {"cpu", "cuda", "opencl"};
  std::string text = fmt::format("{} {} threads={}", kKinds[static_cast<int>(kind)], isa, threads);
  if (fast_math) text += " fast math";
  if (!libraries.empty()) text += fmt::format(" ({})", fmt::join(libraries, ", "));
  return text;
}

}  // namespace weft
