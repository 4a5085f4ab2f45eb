// Whether a program that a test started was stopped by a sanitizer: a test that expects a failure must not take that
// for it.
#pragma once

#include <string_view>

namespace weft::testing {

inline bool holds_sanitizer_report(std::string_view output) {
  return output.find("Sanitizer: ") != std::string_view::npos ||      // address, leak, thread
         output.find(": runtime error: ") != std::string_view::npos;  // undefined behaviour
}

}  // namespace weft::testing
