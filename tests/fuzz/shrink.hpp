// Makes a failing case smaller, so that a person sees what fails.
#pragma once

#include <functional>

#include "tests/fuzz/drawn_graph.hpp"

namespace weft::fuzz {

/// Greedy: outputs are dropped, nodes replaced by inputs that hold what they computed, or by an operand of their type,
/// as long as `fails` says yes. `failing_output` is tried alone first.
Case shrunk(Case c, const std::string& failing_output, const std::function<bool(const Case&)>& fails);

/// The graph, and the values of its inputs as far as they are few.
std::string str(const Case& c);

}  // namespace weft::fuzz
