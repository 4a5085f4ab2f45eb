// Moments are taken plane by plane in two passes and merged (Chan, Golub and LeVeque 1979): sums of squares of large
// values never cancel.
#include "src/data/value_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace weft {

namespace {

constexpr std::int64_t kMaxChannels = 16;
constexpr std::int64_t kMaxLabel = 99'999;
constexpr std::size_t kBlock = 4096;  // elements merged at a time where there are no planes

template <class T>
double number(const T& value) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<double>(value);
  else
    return static_cast<double>(static_cast<float>(value));
}

}  // namespace

ValueStatistics::ValueStatistics(DType type, const Shape& shape) {
  labels_ = is_integer(type) && shape.rank() == 1;
  measured_ = is_float(type) || (is_integer(type) && shape.rank() >= 3);
  const bool by_channel = shape.rank() == 4 && shape[1] >= 1 && shape[1] <= kMaxChannels;
  channels_.resize(by_channel ? static_cast<std::size_t>(shape[1]) : 1);
  if (by_channel) plane_ = shape[2] * shape[3];
}

void ValueStatistics::add(const Tensor& rows) {
  visit_dtype(rows.dtype(), [&]<class T>(TypeTag<T>) {
    if (measured_) add_moments(rows.values<T>());
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      if (labels_) add_labels(rows.values<T>());
  });
}

template <class T>
void ValueStatistics::add_moments(std::span<const T> values) {
  const std::size_t length = plane_ > 0 ? static_cast<std::size_t>(plane_) : kBlock;
  std::size_t channel = 0;
  while (!values.empty()) {
    const auto part = values.first(std::min(length, values.size()));
    values = values.subspan(part.size());
    double count = 0, sum = 0, squares = 0;
    for (const T& v : part) {
      const double x = number(v);
      if (!std::isfinite(x)) continue;
      sum += x;
      count += 1;
    }
    not_finite_ += static_cast<std::int64_t>(part.size()) - static_cast<std::int64_t>(count);
    const double mean = count > 0 ? sum / count : 0;
    for (const T& v : part) {
      const double d = number(v) - mean;
      if (std::isfinite(d)) squares += d * d;
    }
    Moments& all = channels_[channel];
    channel = (channel + 1) % channels_.size();
    if (count == 0) continue;
    const double delta = mean - all.mean, total = all.count + count;
    all.mean += delta * count / total;
    all.squares += squares + delta * delta * all.count * count / total;
    all.count = total;
  }
}

template <class T>
void ValueStatistics::add_labels(std::span<const T> values) {
  for (const T v : values) {
    if (std::cmp_less(v, 0) || std::cmp_greater(v, kMaxLabel)) {
      labels_ = false;
      counts_.clear();
      return;
    }
    const auto label = static_cast<std::size_t>(v);
    if (label >= counts_.size()) counts_.resize(label + 1);
    ++counts_[label];
  }
}

std::vector<double> ValueStatistics::mean() const {
  std::vector<double> result;
  for (const Moments& m : channels_)
    if (measured_ && m.count > 0) result.push_back(m.mean);
  return result;
}

std::vector<double> ValueStatistics::standard_deviation() const {
  std::vector<double> result;
  for (const Moments& m : channels_)
    if (measured_ && m.count > 0) result.push_back(std::sqrt(m.squares / m.count));
  return result;
}

}  // namespace weft
