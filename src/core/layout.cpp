// Layout arithmetic and its text form.
#include "weft/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "weft/error.hpp"

namespace weft {

Layout Layout::dense(const Shape& shape) { return {shape, shape.row_major_strides(), {}}; }

Layout Layout::permuted(const Shape& shape, const Dims& order) {
  Layout layout{shape, Dims(order.size(), 1), {}};
  std::int64_t stride = 1;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    layout.strides.at(static_cast<std::size_t>(*it)) = stride;
    stride *= std::max<std::int64_t>(shape[static_cast<int>(*it)], 1);
  }
  return layout;
}

Layout Layout::blocked(const Shape& shape, std::vector<Block> blocks) {
  Layout layout{shape, Dims(shape.extents().size(), 1), std::move(blocks)};
  std::int64_t stride = 1;
  for (const Block& b : layout.blocks) stride *= b.size;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    layout.strides[static_cast<std::size_t>(d)] = stride;
    stride *= std::max<std::int64_t>(layout.padded(d) / layout.block_of(d), 1);
  }
  return layout;
}

bool Layout::is_row_major() const {
  if (!blocks.empty()) return false;
  const Dims dense = shape.row_major_strides();
  for (int d = 0; d < shape.rank(); ++d)
    if (shape[d] > 1 && strides[static_cast<std::size_t>(d)] != dense[static_cast<std::size_t>(d)]) return false;
  return true;
}

std::int64_t Layout::block_of(int dimension) const {
  std::int64_t size = 1;
  for (const Block& b : blocks)
    if (b.dimension == dimension) size *= b.size;
  return size;
}

std::int64_t Layout::padded(int dimension) const {
  const std::int64_t block = block_of(dimension);
  return (shape[dimension] + block - 1) / block * block;
}

bool Layout::has_padding() const {
  for (int d = 0; d < shape.rank(); ++d)
    if (padded(d) != shape[d]) return true;
  return false;
}

std::int64_t Layout::storage_elements() const {
  std::int64_t last = 1;
  for (const Block& b : blocks) last *= b.size;
  for (int d = 0; d < shape.rank(); ++d) {
    const std::int64_t outer = padded(d) / block_of(d);
    if (outer == 0) return 0;
    last += (outer - 1) * strides[static_cast<std::size_t>(d)];
  }
  return last;
}

std::int64_t Layout::offset(const Dims& index) const {
  std::int64_t result = 0;
  for (int d = 0; d < shape.rank(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    result += index[i] / block_of(d) * strides[i];
  }
  std::int64_t inner = 1;
  // Innermost block first: each block takes the digits of its dimension that finer blocks of it have not taken.
  std::vector<std::int64_t> taken(static_cast<std::size_t>(shape.rank()), 1);
  for (auto b = blocks.rbegin(); b != blocks.rend(); ++b) {
    const auto d = static_cast<std::size_t>(b->dimension);
    result += index[d] / taken[d] % b->size * inner;
    taken[d] *= b->size;
    inner *= b->size;
  }
  return result;
}

namespace {

struct Digit {
  std::int64_t size, stride;
  bool operator==(const Digit&) const = default;
};

/// A dimension's index as mixed-radix digits, innermost first, neighbours merged where they are one stride apart.
std::vector<Digit> digits(const Layout& layout, int dimension) {
  std::vector<Digit> raw;
  std::int64_t inner = 1;
  for (auto b = layout.blocks.rbegin(); b != layout.blocks.rend(); ++b) {
    if (b->dimension == dimension) raw.push_back({b->size, inner});
    inner *= b->size;
  }
  const std::int64_t outer = layout.padded(dimension) / layout.block_of(dimension);
  raw.push_back({outer, layout.strides[static_cast<std::size_t>(dimension)]});
  std::vector<Digit> merged;
  for (const Digit& d : raw) {
    if (d.size == 1) continue;
    if (!merged.empty() && merged.back().size * merged.back().stride == d.stride)
      merged.back().size *= d.size;
    else
      merged.push_back(d);
  }
  return merged;
}

}  // namespace

bool Layout::same_placement(const Layout& other) const {
  if (shape != other.shape) return false;
  if (shape.elements() == 0) return true;  // nothing lies anywhere
  if (storage_elements() != other.storage_elements()) return false;
  for (int d = 0; d < shape.rank(); ++d)
    if (digits(*this, d) != digits(other, d)) return false;
  return true;
}

std::string Layout::str() const {
  if (is_row_major()) return shape.str() + ":row";
  std::string text = fmt::format("{}:s({})", shape.str(), fmt::join(strides, ","));
  for (const Block& b : blocks) text += fmt::format("b({}x{})", b.dimension, b.size);
  return text;
}

namespace {

/// Reads "a, b, c" up to `close`; advances `text` past it.
Dims parse_list(std::string_view& text, char close) {
  Dims values;
  while (!text.empty() && text.front() != close) {
    if (text.front() == ',' || text.front() == ' ' || text.front() == 'x') {
      text.remove_prefix(1);
      continue;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) throw UserError("layout: a number was expected at '" + std::string(text) + "'");
    values.push_back(value);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (text.empty()) throw UserError(std::string("layout: '") + close + "' is missing");
  text.remove_prefix(1);
  return values;
}

void expect(std::string_view& text, std::string_view token) {
  if (!text.starts_with(token))
    throw UserError("layout: '" + std::string(token) + "' was expected at '" + std::string(text) + "'");
  text.remove_prefix(token.size());
}

}  // namespace

Layout Layout::parse(std::string_view text) {
  expect(text, "[");
  const Shape shape(parse_list(text, ']'));
  expect(text, ":");
  if (text == "row") return dense(shape);
  expect(text, "s(");
  Layout layout{shape, parse_list(text, ')'), {}};
  if (layout.strides.size() != shape.extents().size())
    throw UserError("layout: as many strides as extents were expected");
  while (!text.empty()) {
    expect(text, "b(");
    const Dims pair = parse_list(text, ')');
    if (pair.size() != 2 || pair[0] < 0 || pair[0] >= shape.rank() || pair[1] < 1)
      throw UserError("layout: a block is 'dimension x size'");
    layout.blocks.push_back({static_cast<int>(pair[0]), pair[1]});
  }
  return layout;
}

}  // namespace weft
