// Runs a kernel body on a device as lowering would: ask, lay operands out, launch, read results back row-major.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weft/device.hpp"
#include "weft/tensor.hpp"

namespace weft::testing {

/// `from` (row-major) in memory as `layout` says; padding holds zeros.
std::vector<std::byte> laid_out(const Tensor& from, const Layout& layout);
/// The reverse.
Tensor row_major(const std::byte* from, const Layout& layout, DType type);

/// Results in the order of the body's outputs. Throws InternalError listing the refusals when nobody takes the body.
/// `implementation`, when given, receives the name of the kernel that ran. `over` puts results (by position) in the
/// memory of inputs.
std::vector<Tensor> run_body(Device& device, const Graph& body, const std::vector<Tensor>& inputs,
                             std::string* implementation = nullptr, const std::map<int, int>& over = {});

}  // namespace weft::testing
