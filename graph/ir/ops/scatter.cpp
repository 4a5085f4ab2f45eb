// Reading and writing by index tuples (the nd forms) and element by element along an axis, as ONNX defines them.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/scatter.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_gather_nd(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"batch_dims"});
  check.integral(1);
  const Shape &x = check.shape(0), &indices = check.shape(1);
  check.that(x.rank() >= 1 && indices.rank() >= 1, "operands must have at least one dimension");
  const auto batch = static_cast<int>(check.integer("batch_dims", 0, std::min(x.rank(), indices.rank()) - 1));
  for (int d = 0; d < batch; ++d)
    if (x[d] != indices[d]) check.fail(fmt::format("operands differ in batch dimension {}", d));
  const std::int64_t tuple = indices[indices.rank() - 1];
  if (tuple < 1 || tuple > x.rank() - batch)
    check.fail(fmt::format("the last extent of indices must be in [1, {}], not {}", x.rank() - batch, tuple));
  Dims extents(indices.begin(), indices.end() - 1);
  extents.insert(extents.end(), x.begin() + batch + tuple, x.end());
  return {{check.dtype(0), Shape(std::move(extents))}};
}

void check_kind(const Check& check) {
  const std::string kind = check.text("kind", {"replace", "add", "mul", "max", "min"});
  if (kind != "replace") check.numeric(0);
}

std::vector<TensorType> infer_scatter_nd(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(3, {"kind"});
  check.integral(1);
  check.same_dtype(0, 2);
  check_kind(check);
  const Shape &x = check.shape(0), &indices = check.shape(1);
  check.that(x.rank() >= 1 && indices.rank() >= 1, "operands 0 and 1 must have at least one dimension");
  const std::int64_t tuple = indices[indices.rank() - 1];
  if (tuple < 1 || tuple > x.rank())
    check.fail(fmt::format("the last extent of indices must be in [1, {}], not {}", x.rank(), tuple));
  Dims extents(indices.begin(), indices.end() - 1);
  extents.insert(extents.end(), x.begin() + tuple, x.end());
  const Shape expected(std::move(extents));
  if (check.shape(2) != expected) check.fail(fmt::format("updates must have the shape {}", expected.str()));
  return {check.operand(0)};
}

/// Indices have x's rank and, but for `axis`, extents no larger than x's.
void check_elementwise_indices(const Check& check) {
  check.integral(1);
  const Shape &x = check.shape(0), &indices = check.shape(1);
  const int axis = check.axis("axis", x.rank());
  check.that(x.rank() == indices.rank(), "indices must have the rank of operand 0");
  for (int d = 0; d < x.rank(); ++d)
    if (d != axis && indices[d] > x[d]) check.fail(fmt::format("indices exceed operand 0 in dimension {}", d));
}

std::vector<TensorType> infer_gather_elements(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"axis"});
  check_elementwise_indices(check);
  return {{check.dtype(0), check.shape(1)}};
}

std::vector<TensorType> infer_scatter_elements(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(3, {"axis", "kind"});
  check_elementwise_indices(check);
  check_kind(check);
  check.same_dtype(0, 2);
  check.that(check.shape(1) == check.shape(2), "indices and updates must have the same shape");
  return {check.operand(0)};
}

}  // namespace

std::vector<OpRules> scatter_rules() {
  return {
      {.op = Op::gather_nd, .infer = infer_gather_nd, .gradient = gradient_gather_nd},
      {.op = Op::scatter_nd, .infer = infer_scatter_nd, .gradient = gradient_scatter_nd},
      {.op = Op::gather_elements, .infer = infer_gather_elements, .gradient = gradient_gather_elements},
      {.op = Op::scatter_elements, .infer = infer_scatter_elements, .gradient = gradient_scatter_elements},
  };
}

}  // namespace weft::ops
