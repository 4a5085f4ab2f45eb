// Checks of what a feed asks for against what the file holds, and the geometry of crop and flip.
#include "src/data/sample_transform.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "src/data/convert.hpp"
#include "src/data/sample_order.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

Dims without_ones(Dims dims) {
  std::erase(dims, 1);
  return dims;
}

// "[N, 1, 28, 28]".
std::string sample_text(const Dims& sample) {
  return sample.empty() ? "[N]" : fmt::format("[N, {}]", fmt::join(sample, ", "));
}

}  // namespace

SampleChance::SampleChance(std::int64_t seed, std::int64_t epoch, std::int64_t sample) {
  // The order of the epoch uses the stream itself; a stream a sample keeps these numbers apart from it.
  const std::uint64_t key = splitmix(~order_key(seed, epoch), static_cast<std::uint64_t>(sample));
  top = splitmix(key, 0);
  left = splitmix(key, 1);
  flip = splitmix(key, 2) >> 63;
}

SampleTransform::SampleTransform(FeedTransform feed, const DataSpec& spec) : feed_(std::move(feed)) {
  check_types();
  result_ = feed_.stored_sample;
  if (is_image())
    plan_geometry(spec);
  else
    feed_.flip = false;
  check_shapes();
  elements_ = Shape(result_).elements();
  out_bytes_ = static_cast<std::size_t>(elements_) * size_of(feed_.wanted);
  if (feed_.normalise && is_image() && is_float(feed_.wanted)) plan_values(spec);
}

void SampleTransform::check_types() const {
  const auto integral = [](DType t) { return is_integer(t) || t == DType::boolean; };
  const bool fits =
      is_float(feed_.wanted) || (is_integer(feed_.wanted) && integral(feed_.stored)) || feed_.stored == feed_.wanted;
  if (fits) return;
  throw UserError(fmt::format(
      "{}: dataset '{}' holds {} and the model's '{}' wants {}, which would lose values.\n"
      "  Name another dataset under data.inputs or data.target, or import {} data.",
      feed_.file, feed_.dataset, name_of(feed_.stored), feed_.feed, name_of(feed_.wanted), name_of(feed_.wanted)));
}

void SampleTransform::plan_geometry(const DataSpec& spec) {
  crop_ = spec.crop;
  padding_ = spec.crop > 0 ? spec.crop_padding : 0;
  if (crop_ == 0) return;
  const std::int64_t height = feed_.stored_sample[1];
  const std::int64_t width = feed_.stored_sample[2];
  if (crop_ < 0 || padding_ < 0 || padding_ > std::max(height, width) || crop_ > height + 2 * padding_ ||
      crop_ > width + 2 * padding_)
    throw UserError(
        fmt::format("data.crop {} with data.crop_padding {} does not fit dataset '{}' {} of {}: the crop "
                    "is at most the image and its padding, the padding at most the image",
                    crop_, padding_, feed_.dataset, sample_text(feed_.stored_sample), feed_.file));
  result_ = {feed_.stored_sample[0], crop_, crop_};
}

// Extents of 1 may come and go, and a model may want a sample as one vector: the order of elements is the same.
void SampleTransform::check_shapes() const {
  const Dims& wanted = feed_.wanted_sample;
  const bool vector = wanted.size() == 1 && wanted[0] == Shape(result_).elements();
  if (wanted == result_ || without_ones(wanted) == without_ones(result_) || vector) return;
  const std::string cropped = crop_ > 0 ? fmt::format(" (cropped to {})", sample_text(result_)) : "";
  throw UserError(fmt::format(
      "{}: dataset '{}' has shape {}{}, and the model's '{}' wants {}.\n"
      "  Name the right dataset under data.inputs or data.target, import the data in the "
      "model's size, set data.crop, or use a model for this size.",
      feed_.file, feed_.dataset, sample_text(feed_.stored_sample), cropped, feed_.feed, sample_text(wanted)));
}

void SampleTransform::plan_values(const DataSpec& spec) {
  const auto channels = static_cast<std::size_t>(feed_.stored_sample[0]);
  const auto by_channel = [&](const std::vector<double>& given, double none, const char* key) {
    if (given.size() > 1 && given.size() != channels)
      throw UserError(
          fmt::format("data.{} has {} values, and dataset '{}' of {} has {} channels: give one a channel, "
                      "or one for all",
                      key, given.size(), feed_.dataset, feed_.file, channels));
    return given.size() == channels ? given : std::vector<double>(channels, given.empty() ? none : given[0]);
  };
  const double scale = spec.scale != 0 ? spec.scale : feed_.stored == DType::u8 ? 1.0 / 255 : 1.0;
  const std::vector<double> mean = by_channel(spec.mean, 0, "mean");
  const std::vector<double> deviation = by_channel(spec.std, 1, "std");
  for (std::size_t c = 0; c < channels; ++c) {
    if (!(deviation[c] > 0)) throw UserError(fmt::format("data.std holds {}: it must be positive", deviation[c]));
    factor_.push_back(scale / deviation[c]);
    offset_.push_back(-mean[c] / deviation[c]);
  }
  affine_ = scale != 1 || !spec.mean.empty() || !spec.std.empty();
  if (affine_ && feed_.stored == DType::u8)
    for (std::size_t c = 0; c < channels; ++c) {
      const double divisor = spec.scale == 0 ? 255.0 : 1.0;  // x / 255 exactly as a division gives it
      table_.push_back(u8_table(feed_.wanted, [&](double x) {
        const double scaled = spec.scale == 0 ? x / divisor : x * spec.scale;
        return (scaled - mean[c]) / deviation[c];
      }));
    }
}

void SampleTransform::convert(const std::byte* in, std::byte* out, std::int64_t count, std::int64_t channel) const {
  const auto c = static_cast<std::size_t>(channel);
  if (!table_.empty())
    look_up_u8(table_[c].data(), feed_.wanted, in, out, count);
  else if (affine_)
    convert_affine(feed_.stored, feed_.wanted, factor_[c], offset_[c], in, out, count);
  else
    convert_plain(feed_.stored, feed_.wanted, in, out, count);
}

void SampleTransform::apply(const std::byte* stored, std::int64_t sample, const std::optional<SampleChance>& chance,
                            std::byte* out) const {
  try {
    if (is_image() && (crop_ > 0 || (feed_.flip && chance && chance->flip != 0))) {
      crop(stored, chance, out);
    } else if (affine_) {
      const std::int64_t plane = feed_.stored_sample[1] * feed_.stored_sample[2];
      for (std::int64_t c = 0; c < feed_.stored_sample[0]; ++c)
        convert(stored + static_cast<std::size_t>(c * plane) * size_of(feed_.stored),
                out + static_cast<std::size_t>(c * plane) * size_of(feed_.wanted), plane, c);
    } else {
      convert(stored, out, elements_, 0);
    }
  } catch (Error& e) {
    e.add_context(fmt::format("{}: dataset '{}', sample {}", feed_.file, feed_.dataset, sample));
    throw;
  }
  if (feed_.classes) check_values(out, sample);
}

// Copies the window row by row; what lies in the padding is a stored zero.
void SampleTransform::crop(const std::byte* in, const std::optional<SampleChance>& chance, std::byte* out) const {
  const std::int64_t channels = result_[0];
  const std::int64_t rows = result_[1];
  const std::int64_t columns = result_[2];
  const std::int64_t height = feed_.stored_sample[1];
  const std::int64_t width = feed_.stored_sample[2];
  const auto place = [&](std::int64_t extent, std::int64_t window, std::uint64_t random) {
    const std::int64_t slack = extent + 2 * padding_ - window;
    const auto choices = static_cast<std::uint64_t>(slack) + 1;
    return (chance ? static_cast<std::int64_t>(random % choices) : slack / 2) - padding_;
  };
  const std::int64_t top = place(height, rows, chance ? chance->top : 0);
  const std::int64_t left = place(width, columns, chance ? chance->left : 0);
  const bool flip = feed_.flip && chance && chance->flip != 0;
  const std::size_t in_size = size_of(feed_.stored);
  const std::size_t out_size = size_of(feed_.wanted);
  const std::int64_t first = std::clamp<std::int64_t>(-left, 0, columns);
  const std::int64_t last = std::clamp<std::int64_t>(width - left, first, columns);
  std::vector<std::byte> zeros;
  if (padding_ > 0) zeros.assign(static_cast<std::size_t>(columns) * in_size, std::byte{0});
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t y = 0; y < rows; ++y) {
      std::byte* row = out + static_cast<std::size_t>((c * rows + y) * columns) * out_size;
      const bool inside = top + y >= 0 && top + y < height;
      const std::int64_t begin = inside ? first : columns;
      const std::int64_t end = inside ? last : columns;
      if (begin > 0) convert(zeros.data(), row, begin, c);
      if (end > begin)
        convert(in + static_cast<std::size_t>((c * height + top + y) * width + left + begin) * in_size,
                row + static_cast<std::size_t>(begin) * out_size, end - begin, c);
      if (columns > end) convert(zeros.data(), row + static_cast<std::size_t>(end) * out_size, columns - end, c);
      if (flip) reverse_elements(row, columns, out_size);
    }
}

void SampleTransform::check_values(const std::byte* out, std::int64_t sample) const {
  const std::optional<std::int64_t> bad = first_outside(feed_.wanted, out, elements_, *feed_.classes, feed_.ignored);
  if (!bad) return;
  throw UserError(
      fmt::format("{}: dataset '{}', sample {}: value {} is no class: the model's output has {} classes, "
                  "so values must be in 0 to {}{}.\n  Use a model with more classes, or correct the data.",
                  feed_.file, feed_.dataset, sample, *bad, *feed_.classes, *feed_.classes - 1,
                  feed_.ignored ? fmt::format(" (or {}, ignored)", *feed_.ignored) : ""));
}

}  // namespace weft
