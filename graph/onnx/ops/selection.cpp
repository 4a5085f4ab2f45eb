// Operators whose results have as many elements as their operands' values decide: computed on import, from known
// values.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

Tensor list_of(const std::vector<std::int64_t>& values) {
  return Tensor::from<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())}, values);
}

/// A tensor as rows: the slices along `axis`, or its elements.
struct Rows {
  Tensor values;  ///< [before, rows, after], the rows along dimension 1
  std::int64_t before = 1, count = 0, after = 1;

  /// -1, 0 or 1. Elements are compared as numbers, NaN above all.
  int compare(std::int64_t a, std::int64_t b) const {
    for (std::int64_t i = 0; i < before; ++i)
      for (std::int64_t j = 0; j < after; ++j) {
        const int order = compare_elements((i * count + a) * after + j, (i * count + b) * after + j);
        if (order != 0) return order;
      }
    return 0;
  }

  Tensor taken(const std::vector<std::int64_t>& rows, Shape shape) const {
    Tensor result(values.dtype(), std::move(shape));
    std::byte* to = result.mutable_data();
    const auto bytes = static_cast<std::int64_t>(size_of(values.dtype())) * after;
    for (std::int64_t i = 0; i < before; ++i)
      for (const std::int64_t row : rows) to = std::copy_n(values.data() + (i * count + row) * bytes, bytes, to);
    return result;
  }

 private:
  int compare_elements(std::int64_t a, std::int64_t b) const {
    if (!is_float(values.dtype())) {
      const std::int64_t x = values.as_int(a), y = values.as_int(b);
      return x < y ? -1 : x > y;
    }
    const double x = values.as_double(a), y = values.as_double(b);
    if (std::isnan(x) || std::isnan(y)) return static_cast<int>(std::isnan(x)) - static_cast<int>(std::isnan(y));
    return x < y ? -1 : x > y;
  }
};

Rows rows_of(OpContext& c) {
  Rows rows{c.constant(0, "the operand of Unique, whose values decide the shape of the result,")};
  const Shape shape = rows.values.shape();
  rows.count = shape.elements();
  if (!c.has_attribute("axis")) return rows;
  const int axis = c.axis(0, shape.rank());
  rows.count = shape[axis];
  for (int d = 0; d < axis; ++d) rows.before *= shape[d];
  for (int d = axis + 1; d < shape.rank(); ++d) rows.after *= shape[d];
  return rows;
}

Values import_unique(OpContext& c) {
  const Rows rows = rows_of(c);
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows.count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return rows.compare(a, b) < 0; });
  std::vector<std::vector<std::int64_t>> groups;  // of equal rows, each from its first occurrence on
  for (const std::int64_t row : order) {
    if (groups.empty() || rows.compare(groups.back().front(), row) != 0) groups.emplace_back();
    groups.back().push_back(row);
  }
  if (c.integer("sorted", 1) == 0)
    std::sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.front() < b.front(); });
  std::vector<std::int64_t> first, counts, inverse(order.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    first.push_back(groups[g].front());
    counts.push_back(static_cast<std::int64_t>(groups[g].size()));
    for (const std::int64_t row : groups[g]) inverse[static_cast<std::size_t>(row)] = static_cast<std::int64_t>(g);
  }
  const auto found = static_cast<std::int64_t>(groups.size());
  const Shape shape = rows.values.shape();
  const Shape kept = c.has_attribute("axis") ? shape.with(c.axis(0, shape.rank()), found) : Shape{found};
  return {c.b.constant(rows.taken(first, kept)), c.b.constant(list_of(first)), c.b.constant(list_of(inverse)),
          c.b.constant(list_of(counts))};
}

struct Box {
  double x_low, x_high, y_low, y_high;
  double area() const { return (x_high - x_low) * (y_high - y_low); }
};

Box box_at(const Tensor& boxes, std::int64_t at, bool centred) {
  const double a = boxes.as_double(4 * at), b = boxes.as_double(4 * at + 1);
  const double c = boxes.as_double(4 * at + 2), d = boxes.as_double(4 * at + 3);
  if (centred) return {a - c / 2, a + c / 2, b - d / 2, b + d / 2};
  return {std::min(b, d), std::max(b, d), std::min(a, c), std::max(a, c)};
}

/// Intersection over union.
double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.x_high, b.x_high) - std::max(a.x_low, b.x_low);
  const double height = std::min(a.y_high, b.y_high) - std::max(a.y_low, b.y_low);
  if (!(width > 0 && height > 0) || a.area() <= 0 || b.area() <= 0) return 0;
  return width * height / (a.area() + b.area() - width * height);
}

// Every box is compared with those kept before it.
constexpr std::int64_t kMostBoxes = 20'000;

Values import_non_max_suppression(OpContext& c) {
  const char* const what = "an operand of NonMaxSuppression, whose values decide the shape of the result,";
  const Tensor boxes = c.constant(0, what), scores = c.constant(1, what);
  if (boxes.shape().rank() != 3 || scores.shape().rank() != 3 || boxes.shape()[2] != 4 ||
      boxes.shape()[0] != scores.shape()[0] || boxes.shape()[1] != scores.shape()[2])
    OpContext::unsupported(
        fmt::format("boxes {} and scores {} do not fit each other", boxes.shape().str(), scores.shape().str()));
  const std::int64_t count = boxes.shape()[1], classes = scores.shape()[1];
  if (count > kMostBoxes) OpContext::unsupported(fmt::format("{} boxes; at most {} are supported", count, kMostBoxes));
  const std::int64_t most = c.has(2) ? c.constant_int(2, "the number of boxes kept") : 0;
  const double limit = c.has(3) ? c.constant(3, "the threshold of overlap").as_double(0) : 0;
  const double least =
      c.has(4) ? c.constant(4, "the threshold of scores").as_double(0) : -std::numeric_limits<double>::infinity();
  if (static_cast<double>(boxes.shape()[0] * classes * count) *
          static_cast<double>(std::clamp(most, std::int64_t{0}, count)) >
      1e9)
    OpContext::unsupported("more than 10^9 comparisons of boxes");
  const bool centred = c.integer("center_point_box", 0) != 0;
  std::vector<std::int64_t> selected;
  for (std::int64_t batch = 0; batch < boxes.shape()[0]; ++batch)
    for (std::int64_t k = 0; k < classes; ++k) {
      const auto score = [&](std::int64_t i) { return scores.as_double((batch * classes + k) * count + i); };
      std::vector<std::int64_t> order;
      for (std::int64_t i = 0; i < count; ++i)
        if (score(i) > least) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return score(a) > score(b); });
      std::vector<Box> kept;
      for (const std::int64_t i : order) {
        if (static_cast<std::int64_t>(kept.size()) >= most) break;
        const Box box = box_at(boxes, batch * count + i, centred);
        if (std::any_of(kept.begin(), kept.end(), [&](const Box& other) { return overlap(box, other) > limit; }))
          continue;
        kept.push_back(box);
        selected.insert(selected.end(), {batch, k, i});
      }
    }
  const auto rows = static_cast<std::int64_t>(selected.size()) / 3;
  return {c.b.constant(Tensor::from<std::int64_t>(Shape{rows, 3}, selected))};
}

constexpr OpRow kSelectionRows[] = {
    {"Unique", import_unique, 11},
    {"NonMaxSuppression", import_non_max_suppression, 10},
};

}  // namespace

std::span<const OpRow> selection_rows() { return kSelectionRows; }

}  // namespace weft::onnx
