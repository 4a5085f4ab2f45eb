// Dimensions into segments, segments into boxes.
#include "kernels/cpu/copy_plan.hpp"

#include <algorithm>

namespace weft::cpu {
namespace {

/// A nest of loops along one dimension.
struct Segment {
  std::int64_t from = 0, to = 0;
  std::vector<CopyLoop> loops;
};

struct Offset {
  std::int64_t from = 0, to = 0;
  bool operator==(const Offset&) const = default;
};

Offset operator-(Offset a, Offset b) { return {a.from - b.from, a.to - b.to}; }

class Segments {
 public:
  Segments(const CopyAxis& axis, std::size_t most) : axis_(axis), most_(most) {}

  std::vector<Segment> run() {
    for (const AxisRange& r : axis_.ranges) {
      range_ = &r;
      if (r.count > 0) nest(0, r.count, 1, {});
    }
    return std::move(result_);
  }

 private:
  Offset at(std::int64_t k) const {
    return {axis_.from(range_->from_start + k * range_->from_step), axis_.to(range_->to_start + k * range_->to_step)};
  }

  /// Positions start, start + unit, … (`count` of them) around `inner` loops.
  void nest(std::int64_t start, std::int64_t count, std::int64_t unit, const std::vector<CopyLoop>& inner) {
    while (count > 0 && result_.size() <= most_) {
      const Offset base = at(start);
      if (count == 1) return add(base, inner);
      const Offset step = at(start + unit) - base;
      std::int64_t run = 2;
      while (run < count && at(start + run * unit) - at(start + (run - 1) * unit) == step) ++run;
      std::vector<CopyLoop> loops{{run, step.from, step.to}};
      loops.insert(loops.end(), inner.begin(), inner.end());
      if (run == count) return add(base, loops);
      const std::int64_t repeats = repeats_of(start, count / run, unit, run);
      nest(start, repeats, unit * run, loops);
      start += repeats * run * unit;
      count -= repeats * run;
    }
  }

  /// How many of the next runs look like the first: at least 1.
  std::int64_t repeats_of(std::int64_t start, std::int64_t most, std::int64_t unit, std::int64_t run) const {
    for (std::int64_t r = 1; r < most; ++r) {
      const std::int64_t first = start + r * run * unit;
      for (std::int64_t i = 1; i < run; ++i)
        if (at(first + i * unit) - at(first) != at(start + i * unit) - at(start)) return r;
    }
    return std::max<std::int64_t>(most, 1);
  }

  void add(Offset base, std::vector<CopyLoop> loops) { result_.push_back({base.from, base.to, std::move(loops)}); }

  const CopyAxis& axis_;
  const AxisRange* range_ = nullptr;
  std::size_t most_;
  std::vector<Segment> result_;
};

}  // namespace

AxisOffsets::AxisOffsets(const Layout& layout, int first, int last) {
  for (int d = last; d-- > first;) {
    Dimension dimension{d == first ? 0 : layout.shape[d], {}, layout.strides[static_cast<std::size_t>(d)]};
    std::int64_t inner = 1;
    for (auto b = layout.blocks.rbegin(); b != layout.blocks.rend(); ++b) {
      if (b->dimension == d) dimension.blocks.push_back({b->size, inner});
      inner *= b->size;
    }
    dimensions_.push_back(std::move(dimension));
  }
}

std::int64_t AxisOffsets::operator()(std::int64_t index) const {
  std::int64_t result = 0;
  for (const Dimension& d : dimensions_) {
    std::int64_t own = d.extent == 0 ? index : index % d.extent;
    if (d.extent != 0) index /= d.extent;
    for (const Digit& block : d.blocks) {
      result += own % block.size * block.stride;
      own /= block.size;
    }
    result += own * d.stride;
  }
  return result;
}

std::int64_t CopyBox::elements() const {
  std::int64_t total = 1;
  for (const CopyLoop& l : loops) total *= l.extent;
  return total;
}

bool append_boxes(const std::vector<CopyAxis>& axes, int source, std::size_t most, std::vector<CopyBox>& boxes) {
  std::vector<CopyBox> made{{source, 0, 0, {}}};
  for (const CopyAxis& axis : axes) {
    const std::vector<Segment> segments = Segments(axis, most).run();
    if (segments.size() * made.size() + boxes.size() > most) return false;
    std::vector<CopyBox> next;
    for (const CopyBox& box : made)
      for (const Segment& s : segments) {
        next.push_back({source, box.from + s.from, box.to + s.to, box.loops});
        next.back().loops.insert(next.back().loops.end(), s.loops.begin(), s.loops.end());
      }
    made = std::move(next);
  }
  boxes.insert(boxes.end(), made.begin(), made.end());
  return true;
}

}  // namespace weft::cpu
