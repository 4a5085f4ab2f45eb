// What dot_general's rules, builder and interpreter share.
#pragma once

#include "weft/shape.hpp"

namespace weft::ops {

/// The dimensions that are neither batch nor contracted, ascending.
Dims free_dimensions(int rank, const Dims& batch, const Dims& contract);

}  // namespace weft::ops
