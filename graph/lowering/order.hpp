// A total order in which things are put before one another, and compared at once.
//
// Labels are numbers with room between them; where the room is used up, the labels of as few neighbours as will do are
// spread again (Bender, Cole, Demaine, Farach-Colton and Zito, "Two simplified algorithms for maintaining order in a
// list", 2002), which costs the logarithm of the length, amortised.
#pragma once

#include <cstdint>
#include <vector>

namespace weft::lowering {

/// Of items 0, 1, ...
class Order {
 public:
  /// The first `count` items, in this order.
  explicit Order(int count);

  bool before(int a, int b) const { return label(a) < label(b); }
  std::int64_t label(int item) const { return labels_[static_cast<std::size_t>(item)]; }

  /// The next item that was never in the order takes the place of `item`, which leaves it. Returns its number.
  int replace(int item);
  void remove(int item);
  /// Takes `item` to the place right before `next`.
  void move_before(int item, int next);

 private:
  void link(int item, int previous, int next);
  void make_room_before(int item);

  std::vector<std::int64_t> labels_;
  std::vector<int> previous_, next_;  ///< none: -1
};

}  // namespace weft::lowering
