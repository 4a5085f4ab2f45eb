// From a stored sample to what the model is fed: element type, scale, normalisation, crop and flip.
//
// For images [C, H, W]: out = (x · scale - mean[c]) / std[c], computed in f64 and rounded once. Padding is stored
// zeros, so it is normalised like a black pixel. Crop and flip also apply to feeds that are not normalised (masks),
// at the same place.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/job.hpp"
#include "weft/shape.hpp"

namespace weft {

/// What chance decides for one sample; centre crop and no flip where absent.
struct SampleChance {
  std::uint64_t top = 0, left = 0, flip = 0;
  /// A function of seed, epoch and sample only.
  SampleChance(std::int64_t seed, std::int64_t epoch, std::int64_t sample);
};

/// What one feed needs: filled by the reader from its options and the file.
struct FeedTransform {
  std::string feed, dataset, file;  ///< for messages
  DType stored = DType::u8;
  Dims stored_sample;  ///< without the samples
  DType wanted = DType::f32;
  Dims wanted_sample;                   ///< without the batch
  bool normalise = true;                ///< scale, mean and std apply (to images only)
  bool flip = false;                    ///< with chance 1/2, where there is chance
  std::optional<std::int64_t> classes;  ///< values must be in [0, classes) …
  std::optional<std::int64_t> ignored;  ///< … or this
};

class SampleTransform {
 public:
  /// UserError where type or shape of the dataset does not fit the model, or the options do not fit the image.
  SampleTransform(FeedTransform feed, const DataSpec& spec);

  const FeedTransform& feed() const { return feed_; }
  std::size_t bytes() const { return out_bytes_; }  ///< of one transformed sample

  /// Samples of channels, height and width.
  bool is_image() const { return feed_.stored_sample.size() == 3; }
  bool uses_chance() const { return is_image() && (crop_ > 0 || feed_.flip); }

  /// UserError naming sample and value where a value does not fit the wanted type or the classes.
  void apply(const std::byte* stored, std::int64_t sample, const std::optional<SampleChance>& chance,
             std::byte* out) const;

 private:
  void check_types() const;
  void plan_geometry(const DataSpec& spec);
  void check_shapes() const;
  void plan_values(const DataSpec& spec);
  void convert(const std::byte* in, std::byte* out, std::int64_t count, std::int64_t channel) const;
  void crop(const std::byte* in, const std::optional<SampleChance>& chance, std::byte* out) const;
  void check_values(const std::byte* out, std::int64_t sample) const;

  FeedTransform feed_;
  std::int64_t crop_ = 0, padding_ = 0;  ///< crop 0: none
  Dims result_;                          ///< shape after the crop
  std::int64_t elements_ = 0;            ///< of one transformed sample
  std::size_t out_bytes_ = 0;
  bool affine_ = false;
  std::vector<double> factor_, offset_;        ///< a channel each: out = x · factor + offset
  std::vector<std::vector<std::byte>> table_;  ///< a channel each: the 256 results for u8
};

}  // namespace weft
