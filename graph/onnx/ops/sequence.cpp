// Sequences and optionals of tensors: lists that exist on import only.
#include <fmt/format.h>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

const Values& sequence_at(OpContext& c, int i) {
  const ValueId id = c.any(i);
  if (!is_sequence(id)) OpContext::unsupported(fmt::format("operand {} must be a sequence of tensors", i));
  return c.importer().elements(id);
}

/// A position in a sequence of `size` elements, counted from the end when negative; `end` allows the one past the last.
std::size_t position(OpContext& c, int operand, std::size_t size, bool end) {
  const auto extent = static_cast<std::int64_t>(size);
  std::int64_t i = c.constant_int(operand, "the position in the sequence");
  if (i < 0) i += extent;
  if (i < 0 || i >= extent + (end ? 1 : 0))
    OpContext::unsupported(fmt::format("position {} is outside a sequence of {} tensors", i, size));
  return static_cast<std::size_t>(i);
}

Values import_construct(OpContext& c) {
  Values elements = c.operands();
  for (const ValueId element : elements)
    if (!is_tensor(element)) OpContext::unsupported("sequences of sequences are not supported");
  return {c.importer().make_sequence(std::move(elements))};
}

Values import_empty(OpContext& c) { return {c.importer().make_sequence({})}; }

Values import_at(OpContext& c) {
  const Values& elements = sequence_at(c, 0);
  return {elements[position(c, 1, elements.size(), false)]};
}

Values import_insert(OpContext& c) {
  Values elements = sequence_at(c, 0);
  const std::size_t at = c.has(2) ? position(c, 2, elements.size(), true) : elements.size();
  elements.insert(elements.begin() + static_cast<std::ptrdiff_t>(at), c.in(1));
  return {c.importer().make_sequence(std::move(elements))};
}

Values import_erase(OpContext& c) {
  Values elements = sequence_at(c, 0);
  if (elements.empty()) OpContext::unsupported("nothing can be erased from an empty sequence");
  const std::size_t at = c.has(1) ? position(c, 1, elements.size(), false) : elements.size() - 1;
  elements.erase(elements.begin() + static_cast<std::ptrdiff_t>(at));
  return {c.importer().make_sequence(std::move(elements))};
}

Values import_length(OpContext& c) {
  return {c.b.constant(Tensor::scalar(static_cast<std::int64_t>(sequence_at(c, 0).size())))};
}

// More parts than that are no part of a network's structure.
constexpr std::int64_t kMostParts = 100'000;

/// The lengths of the parts: given one by one, as one length for all, or 1 each.
Dims part_lengths(OpContext& c, std::int64_t extent) {
  const auto check = [](std::int64_t parts) {
    if (parts > kMostParts) OpContext::unsupported(fmt::format("it makes {} parts", parts));
  };
  if (!c.has(1)) check(extent);
  if (!c.has(1)) return Dims(static_cast<std::size_t>(extent), 1);
  if (c.rank(1) == 1) return c.constant_dims(1, "the lengths of the parts");
  const std::int64_t length = c.constant_int(1, "the length of a part");
  if (length < 1) OpContext::unsupported(fmt::format("parts of length {}", length));
  check(extent / length);
  Dims lengths;
  for (std::int64_t at = 0; at < extent; at += length) lengths.push_back(std::min(length, extent - at));
  return lengths;
}

Values import_split_to_sequence(OpContext& c) {
  const Shape shape = c.shape(0);
  const int axis = c.axis(0, shape.rank());
  const auto d = static_cast<std::size_t>(axis);
  const bool keep = c.has(1) || c.integer("keepdims", 1) != 0;
  Values parts;
  Dims start(static_cast<std::size_t>(shape.rank()), 0), limit = shape.extents();
  limit[d] = 0;
  for (const std::int64_t length : part_lengths(c, shape[axis])) {
    start[d] = limit[d];
    if (length < 0 || length > shape[axis] - start[d])
      OpContext::unsupported(fmt::format("the parts do not add up to the {} of axis {}", shape[axis], axis));
    limit[d] += length;
    ValueId part = c.b.slice(c.in(0), start, limit, Dims(start.size(), 1));
    if (!keep) {
      Dims extents = c.b.shape(part).extents();
      extents.erase(extents.begin() + axis);
      part = c.b.reshape(part, Shape(extents));
    }
    parts.push_back(part);
  }
  if (limit[d] != shape[axis])
    OpContext::unsupported(fmt::format("the parts do not add up to the {} of axis {}", shape[axis], axis));
  return {c.importer().make_sequence(std::move(parts))};
}

Values import_concat_from_sequence(OpContext& c) {
  Values parts = sequence_at(c, 0);
  if (parts.empty()) OpContext::unsupported("an empty sequence has no tensors to join");
  const bool fresh = c.integer("new_axis", 0) != 0;
  const int axis = c.axis(0, c.b.shape(parts.front()).rank() + (fresh ? 1 : 0));
  if (fresh)
    for (ValueId& part : parts) {
      Dims extents = c.b.shape(part).extents();
      extents.insert(extents.begin() + axis, 1);
      part = c.b.reshape(part, Shape(extents));
    }
  return {c.b.concat(parts, axis)};
}

/// The body once per element of the first operand; other sequences go along, tensors are the same for all.
Values import_sequence_map(OpContext& c) {
  const pb::GraphProto& body = c.graph("body");
  const std::size_t length = sequence_at(c, 0).size();
  std::vector<Values> results(static_cast<std::size_t>(body.output_size()));
  for (std::size_t i = 0; i < length; ++i) {
    Values arguments;
    for (int operand = 0; operand < c.size(); ++operand) {
      const ValueId id = c.any(operand);
      if (is_sequence(id) && sequence_at(c, operand).size() != length)
        OpContext::unsupported("the sequences differ in length");
      arguments.push_back(is_sequence(id) ? sequence_at(c, operand)[i] : id);
    }
    const Values made = c.importer().import_subgraph(body, arguments);
    for (std::size_t r = 0; r < results.size(); ++r) results[r].push_back(made[r]);
  }
  Values sequences;
  for (Values& elements : results) sequences.push_back(c.importer().make_sequence(std::move(elements)));
  return sequences;
}

Values import_optional(OpContext& c) { return {c.has(0) ? c.any(0) : kAbsent}; }

Values import_has_element(OpContext& c) {
  return {c.b.constant(Tensor::full(DType::boolean, Shape{}, c.has(0) && c.any(0) != kAbsent ? 1 : 0))};
}

Values import_get_element(OpContext& c) {
  if (!c.has(0) || c.any(0) == kAbsent) OpContext::unsupported("the optional holds nothing");
  return {c.any(0)};
}

constexpr OpRow kSequenceRows[] = {
    {"SequenceConstruct", import_construct, 1, kNewestOpset, "", true},
    {"SequenceEmpty", import_empty},
    {"SequenceAt", import_at, 1, kNewestOpset, "", true},
    {"SequenceInsert", import_insert, 1, kNewestOpset, "", true},
    {"SequenceErase", import_erase, 1, kNewestOpset, "", true},
    {"SequenceLength", import_length, 1, kNewestOpset, "", true},
    {"SequenceMap", import_sequence_map, 1, kNewestOpset, "", true},
    {"SplitToSequence", import_split_to_sequence},
    {"ConcatFromSequence", import_concat_from_sequence, 1, kNewestOpset, "", true},
    {"Optional", import_optional, 1, kNewestOpset, "", true},
    {"OptionalHasElement", import_has_element, 1, kNewestOpset, "", true},
    {"OptionalGetElement", import_get_element, 1, kNewestOpset, "", true},
};

}  // namespace

std::span<const OpRow> sequence_rows() { return kSequenceRows; }

}  // namespace weft::onnx
