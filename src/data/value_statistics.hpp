// What the elements of a dataset look like: mean and spread by channel, class balance, numbers that are not finite.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// Fed with a dataset's rows from front to back.
///
/// Mean and standard deviation are measured of floats, and of integers of rank 3 and more (images): one pair a channel
/// for [N, C, H, W] with at most 16 channels, else one of all elements. Integers of rank 1 are taken for class labels
/// and counted, unless one is negative or above 99,999.
class ValueStatistics {
 public:
  ValueStatistics(DType type, const Shape& shape);

  /// Whole rows, as one run of elements.
  void add(const Tensor& rows);

  /// By channel; empty where they are not measured or no element is finite.
  std::vector<double> mean() const;
  std::vector<double> standard_deviation() const;  ///< of the population: divided by the number of elements
  /// By label, from 0 to the largest; empty where the dataset holds no labels.
  std::vector<std::int64_t> class_counts() const { return labels_ ? counts_ : std::vector<std::int64_t>{}; }
  std::int64_t not_finite() const { return not_finite_; }  ///< NaN and infinities, which the others leave out

 private:
  struct Moments {
    double count = 0, mean = 0, squares = 0;  ///< squares: sum of squared distances from the mean
  };

  template <class T>
  void add_moments(std::span<const T> values);
  template <class T>
  void add_labels(std::span<const T> values);

  bool measured_ = false, labels_ = false;
  std::int64_t plane_ = 0;  ///< elements of a channel in a row; 0: all elements are one channel
  std::vector<Moments> channels_;
  std::vector<std::int64_t> counts_;
  std::int64_t not_finite_ = 0;
};

}  // namespace weft
