// Limits of time that tests set, for builds that are slower than others.
#pragma once

namespace weft::testing {

/// What a limit is multiplied with: 1, or what a sanitizer costs (cmake/WeftSanitizers.cmake).
inline constexpr int kPatience = WEFT_TEST_PATIENCE;

}  // namespace weft::testing
