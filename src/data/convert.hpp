// Loops that turn stored elements into those of a feed: simple enough for the compiler to vectorise.
//
// Stored bools may hold any byte (files are untrusted); they count as true where they are not zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "weft/dtype.hpp"

namespace weft {

/// Value for value. UserError where an integer does not fit; `to` is a float, or both are integers or bools.
void convert_plain(DType from, DType to, const std::byte* in, std::byte* out, std::int64_t count);

/// x · factor + offset in f64, rounded once to the float type `to`.
void convert_affine(DType from, DType to, double factor, double offset, const std::byte* in, std::byte* out,
                    std::int64_t count);

/// function(0 … 255) as elements of the float type `to`, and its use on bytes.
std::vector<std::byte> u8_table(DType to, const std::function<double(double)>& function);
void look_up_u8(const std::byte* table, DType to, const std::byte* in, std::byte* out, std::int64_t count);

/// Reverses `count` elements of `size` bytes (1, 2, 4 or 8) in place.
void reverse_elements(std::byte* elements, std::int64_t count, std::size_t size);

/// The first value that is neither in [0, classes) nor `ignored`; `type` is an integer.
std::optional<std::int64_t> first_outside(DType type, const std::byte* values, std::int64_t count, std::int64_t classes,
                                          std::optional<std::int64_t> ignored);

}  // namespace weft
