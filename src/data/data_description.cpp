// A data file's description as text and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/data/data_file.hpp"

namespace weft {

namespace {

std::string size_text(std::int64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} bytes", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) * 1e-3);
  if (bytes < 10'000'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) * 1e-6);
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) * 1e-9);
}

std::string checksum_line(const DatasetDescription& d) {
  if (d.checksum.empty()) return "no checksum";
  const char* verdict = !d.checksum_holds ? "" : *d.checksum_holds ? ", holds" : ", DOES NOT HOLD: damaged";
  return d.checksum + verdict;
}

std::vector<std::string> numbers(const std::vector<double>& values, double scale) {
  std::vector<std::string> out;
  for (const double v : values) out.push_back(fmt::format("{:.4g}", v * scale));
  return out;
}

std::string statistics_lines(const DatasetDescription& d) {
  std::string out;
  if (!d.mean.empty()) {
    const auto line = [&](const char* what, double scale) {
      out += fmt::format("    {}mean: [{}], std: [{}]\n", what, fmt::join(numbers(d.mean, scale), ", "),
                         fmt::join(numbers(d.deviation, scale), ", "));
    };
    line(d.mean.size() > 1 ? "by channel " : "", 1);
    // The job's `mean` and `std` are of images as they are fed, which is scaled to 0 … 1.
    if (d.dtype == DType::u8) line("for a job's data, scaled by 1/255: ", 1.0 / 255);
  }
  if (d.not_finite > 0) out += fmt::format("    {} elements are NaN or infinite\n", d.not_finite);
  if (d.class_counts.empty()) return out;
  constexpr std::size_t kShown = 20;
  std::vector<std::string> counts;
  for (std::size_t i = 0; i < std::min(d.class_counts.size(), kShown); ++i)
    counts.push_back(fmt::format("{}: {}", i < d.classes.size() ? d.classes[i] : std::to_string(i), d.class_counts[i]));
  const auto [least, most] = std::minmax_element(d.class_counts.begin(), d.class_counts.end());
  out += fmt::format("    {} labels, from {} to {} samples each: {}{}\n", d.class_counts.size(), *least, *most,
                     fmt::join(counts, ", "), d.class_counts.size() > kShown ? ", …" : "");
  return out;
}

}  // namespace

std::string DataDescription::text() const {
  std::string out = fmt::format("{}: {}", path, size_text(bytes));
  out += samples >= 0 ? fmt::format(", {} samples\n", samples) : ", datasets with different numbers of samples\n";
  if (!source.empty()) out += fmt::format("  from {} (weft {})\n", source, weft_version);
  for (const DatasetDescription& d : datasets) {
    out += fmt::format("  {:12} {} {}", d.name, name_of(d.dtype), d.shape.str());
    if (d.min && d.max) out += fmt::format(", from {:.7g} to {:.7g}", *d.min, *d.max);
    if (!d.classes.empty()) {
      constexpr std::size_t kShown = 12;
      const std::vector<std::string> some(
          d.classes.begin(), d.classes.begin() + static_cast<std::ptrdiff_t>(std::min(d.classes.size(), kShown)));
      out += fmt::format(", {} classes: {}{}", d.classes.size(), fmt::join(some, ", "),
                         d.classes.size() > kShown ? ", …" : "");
    }
    out += fmt::format(", {}\n", checksum_line(d));
    out += statistics_lines(d);
  }
  for (const std::string& s : skipped) out += fmt::format("  not readable: {}\n", s);
  return out;
}

std::string DataDescription::json() const {
  nlohmann::ordered_json all = {{"path", path}, {"bytes", bytes}};
  if (samples >= 0) all["samples"] = samples;
  if (!source.empty()) all["source"] = source;
  if (!weft_version.empty()) all["weft_version"] = weft_version;
  all["datasets"] = nlohmann::ordered_json::array();
  for (const DatasetDescription& d : datasets) {
    nlohmann::ordered_json one = {{"name", d.name}, {"type", name_of(d.dtype)}, {"shape", d.shape.extents()}};
    if (!d.chunk.empty()) one["chunk"] = d.chunk;
    if (d.min) one["min"] = *d.min;
    if (d.max) one["max"] = *d.max;
    if (!d.classes.empty()) one["classes"] = d.classes;
    if (!d.mean.empty()) one["mean"] = d.mean;
    if (!d.deviation.empty()) one["std"] = d.deviation;
    if (!d.class_counts.empty()) one["class_counts"] = d.class_counts;
    if (d.not_finite > 0) one["not_finite"] = d.not_finite;
    if (!d.checksum.empty()) one["checksum"] = d.checksum;
    if (d.checksum_holds) one["checksum_holds"] = *d.checksum_holds;
    all["datasets"].push_back(std::move(one));
  }
  if (!skipped.empty()) all["not_readable"] = skipped;
  // Names come from files: bytes that are not UTF-8 are replaced.
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace weft
