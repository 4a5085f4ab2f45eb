// Labels, and spreading them.
#include "graph/lowering/order.hpp"

namespace weft::lowering {
namespace {

constexpr int kNoItem = -1;
constexpr int kLabelBits = 62;
constexpr std::int64_t kGap = std::int64_t{1} << 30;
// A range of 2^i labels may hold (2 / kThinning)^i items.
constexpr double kThinning = 1.4;

std::size_t at(int item) { return static_cast<std::size_t>(item); }

}  // namespace

Order::Order(int count) {
  for (int i = 0; i < count; ++i) {
    labels_.push_back((i + 1) * kGap);
    previous_.push_back(i - 1);
    next_.push_back(i + 1 < count ? i + 1 : kNoItem);
  }
}

void Order::link(int item, int previous, int next) {
  previous_[at(item)] = previous;
  next_[at(item)] = next;
  if (previous != kNoItem) next_[at(previous)] = item;
  if (next != kNoItem) previous_[at(next)] = item;
}

int Order::replace(int item) {
  const int fresh = static_cast<int>(labels_.size());
  labels_.push_back(label(item));
  previous_.push_back(kNoItem);
  next_.push_back(kNoItem);
  link(fresh, previous_[at(item)], next_[at(item)]);
  return fresh;
}

void Order::remove(int item) {
  const int previous = previous_[at(item)], next = next_[at(item)];
  if (previous != kNoItem) next_[at(previous)] = next;
  if (next != kNoItem) previous_[at(next)] = previous;
}

void Order::move_before(int item, int next) {
  remove(item);
  const auto room = [&] {
    const int previous = previous_[at(next)];
    return label(next) - (previous == kNoItem ? 0 : label(previous));
  };
  if (room() < 2) make_room_before(next);
  labels_[at(item)] = label(next) - room() / 2;
  link(item, previous_[at(next)], next);
}

void Order::make_room_before(int item) {
  double most = 1;
  for (int bits = 1; bits <= kLabelBits; ++bits) {
    most *= 2 / kThinning;
    const std::int64_t range = label(item) >> bits;
    int first = item, last = item;
    std::int64_t count = 1;
    const auto inside = [&](int i) { return i != kNoItem && label(i) >> bits == range; };
    for (; inside(previous_[at(first)]); ++count) first = previous_[at(first)];
    for (; inside(next_[at(last)]); ++count) last = next_[at(last)];
    const std::int64_t gap = (std::int64_t{1} << bits) / (count + 1);
    if (gap < 2 || static_cast<double>(count) > most) continue;
    std::int64_t next_label = (range << bits) + gap;
    for (int i = first;; i = next_[at(i)], next_label += gap) {
      labels_[at(i)] = next_label;
      if (i == last) return;
    }
  }
}

}  // namespace weft::lowering
