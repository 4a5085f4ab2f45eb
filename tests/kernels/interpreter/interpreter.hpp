// Runs kernels in the loop IR one iteration after the other: what they mean, for tests of emitters and templates.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/loops/ir.hpp"

namespace weft::loops::testing {

struct InterpreterOptions {
  bool fused_multiply_add = true;  ///< whether the target rounds once
};

/// `arguments` as a launch has them. Iteration i of a vector loop uses lane i mod lanes of a local with lanes of its
/// own; lanes are joined by halves. Emitters may choose other lanes, so only what does not depend on them may be
/// compared bit for bit. Throws InternalError where the kernel breaks a rule.
void interpret(const Kernel& kernel, const std::vector<std::byte*>& arguments, InterpreterOptions options = {});

}  // namespace weft::loops::testing
