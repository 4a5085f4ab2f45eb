// Roles and merging of dot_general's dimensions.
#include "kernels/cpu/dot_dims.hpp"

#include <algorithm>

namespace weft::cpu {
namespace {

std::int64_t extent_of(const Shape& shape, const Dims& dims) {
  std::int64_t product = 1;
  for (const std::int64_t d : dims) product *= shape[static_cast<int>(d)];
  return product;
}

Dims others(int rank, const Dims& a, const Dims& b) {
  Dims result;
  for (std::int64_t d = 0; d < rank; ++d)
    if (std::find(a.begin(), a.end(), d) == a.end() && std::find(b.begin(), b.end(), d) == b.end()) result.push_back(d);
  return result;
}

}  // namespace

std::optional<Run> merge_dims(const Layout& layout, const Dims& dims) {
  if (!layout.blocks.empty()) return std::nullopt;
  Run run;
  for (auto it = dims.rbegin(); it != dims.rend(); ++it) {
    const std::int64_t extent = layout.shape[static_cast<int>(*it)];
    const std::int64_t stride = layout.strides[static_cast<std::size_t>(*it)];
    if (extent == 1) continue;
    if (run.extent == 1)
      run.stride = stride;
    else if (stride != run.stride * run.extent)
      return std::nullopt;
    run.extent *= extent;
  }
  return run;
}

DotDims dot_dims(const Graph& body, const Node& node) {
  const Shape& x = body.type(node.inputs[0]).shape;
  const Shape& y = body.type(node.inputs[1]).shape;
  DotDims d;
  d.x_batch = node.attributes.integers("x_batch");
  d.y_batch = node.attributes.integers("y_batch");
  d.x_contract = node.attributes.integers("x_contract");
  d.y_contract = node.attributes.integers("y_contract");
  d.x_free = others(x.rank(), d.x_batch, d.x_contract);
  d.y_free = others(y.rank(), d.y_batch, d.y_contract);
  d.batch = extent_of(x, d.x_batch);
  d.m = extent_of(x, d.x_free);
  d.n = extent_of(y, d.y_free);
  d.k = extent_of(x, d.x_contract);
  return d;
}

}  // namespace weft::cpu
