// The version of this build.
#pragma once

#include <string_view>

namespace weft {

/// "0.1.0", as in CMakeLists.txt.
std::string_view version();

}  // namespace weft
