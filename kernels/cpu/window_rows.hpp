// Windows of f32 whose channels are contiguous: whole rows of windows in registers.
#pragma once

#include <memory>

#include "kernels/cpu/implementation.hpp"
#include "kernels/cpu/window_plan.hpp"

namespace weft::cpu {

bool rows_take(const WindowPlan& plan);
std::unique_ptr<CpuKernel> compile_window_rows(WindowPlan plan, const Context& context);

}  // namespace weft::cpu
