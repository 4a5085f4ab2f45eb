// Exchanges between the ranks along mesh axes, as operators. Parts are equal and cut along dimension 0, as the bytes
// lie in memory; other dimensions and uneven parts are transposed and padded around them.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "weft/error.hpp"

namespace weft::ops {
namespace {

void check_axes(const Check& check) {
  const Attributes& a = check.node().attributes;
  const auto it = a.entries().find("axes");
  const auto* names = it == a.entries().end() ? nullptr : std::get_if<std::vector<std::string>>(&it->second);
  check.that(names != nullptr && !names->empty(), "attribute 'axes' must list at least one mesh axis");
}

/// Checks {axes, size, extra...} and that the operand can be cut (or joined) along dimension 0.
std::int64_t checked_size(const Check& check) {
  check_axes(check);
  check.that(check.shape(0).rank() >= 1, "operand 0 must have at least one dimension");
  return check.integer("size", 1, std::int64_t{1} << 30);
}

void check_divides(const Check& check, std::int64_t size) {
  if (check.shape(0)[0] % size != 0)
    check.fail(fmt::format("dimension 0 of extent {} does not divide into {} equal parts", check.shape(0)[0], size));
}

std::vector<TensorType> infer_all_reduce(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "kind"});
  check_axes(check);
  check.numeric(0);
  check.text("kind", {"sum", "max", "min"});
  return {check.operand(0)};
}

std::vector<TensorType> infer_all_gather(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "size"});
  const std::int64_t size = checked_size(check);
  std::int64_t extent = 0;
  if (__builtin_mul_overflow(check.shape(0)[0], size, &extent)) check.fail("the result is too large");
  return {{check.dtype(0), check.shape(0).with(0, extent)}};
}

std::vector<TensorType> infer_reduce_scatter(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "size", "kind"});
  check.numeric(0);
  check.text("kind", {"sum", "max", "min"});
  const std::int64_t size = checked_size(check);
  check_divides(check, size);
  return {{check.dtype(0), check.shape(0).with(0, check.shape(0)[0] / size)}};
}

std::vector<TensorType> infer_all_to_all(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "size"});
  check_divides(check, checked_size(check));
  return {check.operand(0)};
}

std::vector<TensorType> infer_broadcast(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "root"});
  check_axes(check);
  check.integer("root", 0, std::int64_t{1} << 30);
  return {check.operand(0)};
}

std::vector<TensorType> infer_send(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axes", "peer"});
  check_axes(check);
  check.integer("peer", 0, std::int64_t{1} << 30);
  return {};
}

std::vector<TensorType> infer_receive(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(0, {"axes", "peer", "dtype", "shape"});
  check_axes(check);
  check.integer("peer", 0, std::int64_t{1} << 30);
  return {{check.type("dtype"), check.shape_attribute("shape")}};
}

Attributes sum_over(const Attributes& attributes, bool sized) {
  Attributes result = {{"axes", attributes.texts("axes")}, {"kind", std::string("sum")}};
  if (sized) result.set("size", attributes.integer("size"));
  return result;
}

void only_sums(const GradientContext& c) {
  if (c.node.attributes.text("kind") != "sum")
    throw UserError(fmt::format("node '{}': only the sum has a gradient across ranks", c.node.name));
}

// Each rank's loss counts: the adjoint sums what every rank says of the value.
std::vector<ValueId> gradient_all_reduce(const GradientContext& c) {
  only_sums(c);
  return {c.builder.one(Op::all_reduce, {c.grad()}, sum_over(c.node.attributes, false))};
}
std::vector<ValueId> gradient_all_gather(const GradientContext& c) {
  return {c.builder.one(Op::reduce_scatter, {c.grad()}, sum_over(c.node.attributes, true))};
}
std::vector<ValueId> gradient_reduce_scatter(const GradientContext& c) {
  only_sums(c);
  const Attributes& a = c.node.attributes;
  return {c.builder.one(Op::all_gather, {c.grad()}, {{"axes", a.texts("axes")}, {"size", a.integer("size")}})};
}
std::vector<ValueId> gradient_all_to_all(const GradientContext& c) {
  return {c.builder.one(Op::all_to_all, {c.grad()}, c.node.attributes)};
}

}  // namespace

std::vector<OpRules> collective_rules() {
  return {
      {.op = Op::all_reduce, .infer = infer_all_reduce, .gradient = gradient_all_reduce},
      {.op = Op::all_gather, .infer = infer_all_gather, .gradient = gradient_all_gather},
      {.op = Op::reduce_scatter, .infer = infer_reduce_scatter, .gradient = gradient_reduce_scatter},
      {.op = Op::all_to_all, .infer = infer_all_to_all, .gradient = gradient_all_to_all},
      {.op = Op::collective_broadcast, .infer = infer_broadcast},
      {.op = Op::send, .infer = infer_send},
      {.op = Op::receive, .infer = infer_receive},
  };
}

}  // namespace weft::ops
