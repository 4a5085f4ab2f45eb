// A data file's description as text and as JSON.
#include <fmt/format.h>

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

}  // namespace

std::string DataDescription::text() const {
  std::string out = fmt::format("{}: {}", path, size_text(bytes));
  out += samples >= 0 ? fmt::format(", {} samples\n", samples) : ", datasets with different numbers of samples\n";
  if (!source.empty()) out += fmt::format("  from {} (weft {})\n", source, weft_version);
  for (const DatasetDescription& d : datasets) {
    out += fmt::format("  {:12} {} {}", d.name, name_of(d.dtype), d.shape.str());
    if (d.min && d.max) out += fmt::format(", from {} to {}", *d.min, *d.max);
    if (!d.classes.empty()) {
      constexpr std::size_t kShown = 12;
      const std::vector<std::string> some(
          d.classes.begin(), d.classes.begin() + static_cast<std::ptrdiff_t>(std::min(d.classes.size(), kShown)));
      out += fmt::format(", {} classes: {}{}", d.classes.size(), fmt::join(some, ", "),
                         d.classes.size() > kShown ? ", …" : "");
    }
    out += fmt::format(", {}\n", checksum_line(d));
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
    if (!d.checksum.empty()) one["checksum"] = d.checksum;
    if (d.checksum_holds) one["checksum_holds"] = *d.checksum_holds;
    all["datasets"].push_back(std::move(one));
  }
  if (!skipped.empty()) all["not_readable"] = skipped;
  // Names come from files: bytes that are not UTF-8 are replaced.
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace weft
