// Choosing one of two labels for each of many things at the least total cost, where costs of pairs favour equal labels.
//
// Each thing costs something with each label, and each pair something for each combination of labels; where a pair's
// unequal combinations cost together no less than its equal ones, the minimum is a minimum cut (V. Kolmogorov and R.
// Zabih, "What energy functions can be minimized via graph cuts?", 2004), found exactly by augmenting paths.
#pragma once

#include <cstddef>
#include <vector>

namespace weft {

class LabelChoice {
 public:
  explicit LabelChoice(std::size_t things) : excess_(things, 0) {}

  /// What `thing` costs with label 0 and with label 1.
  void add(std::size_t thing, double zero, double one);
  /// What a pair of different things costs, by the labels of both. Unequal labels that cost together less than equal
  /// ones count as if they cost as much.
  void add(std::size_t first, std::size_t second, const double (&cost)[2][2]);

  /// The labels; 0 where both are as good.
  std::vector<bool> best() const;

 private:
  struct Edge {
    std::size_t from, to;
    double capacity;  ///< paid when `from` has label 0 and `to` has label 1
  };
  std::vector<double> excess_;  ///< what label 1 costs more than label 0
  std::vector<Edge> edges_;
};

}  // namespace weft
