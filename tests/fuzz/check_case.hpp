// One case on one device against the interpreter.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tests/fuzz/drawn_graph.hpp"
#include "weft/device.hpp"

namespace weft::fuzz {

/// How one case went.
struct Verdict {
  std::string failure;  ///< what went wrong, in words; "" when nothing did
  std::string output;   ///< the output that is wrong, where there is one
};

/// What runs on devices looked at.
struct Tally {
  std::int64_t runs = 0;
  std::int64_t elements = 0, determined = 0;  ///< of outputs, and those of them that rounding does not decide
};

/// The interpreter itself against real arithmetic.
Verdict check_interpreter(const Case& c);

/// Compiles and runs two steps (the second from the states that the first left) in an arena full of garbage, and
/// compares with real arithmetic within what rounding may do. Exceptions are failures.
Verdict check_device(const Case& c, Device& device, Tally* tally = nullptr);

}  // namespace weft::fuzz
