// JSON of calibrations, merging and look-up.
#include "scheduler/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxPoints = 10'000;
constexpr std::size_t kMaxKernels = 200'000;
constexpr int kFormat = 1;
constexpr double kScalingMargin = 0.1;  // beyond the bounds of scaling: clocks and caches change too
constexpr const char* kCollectives[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                        "broadcast",  "send",       "receive"};

Json point_json(const CostPoint& p) { return Json::array({p.x, p.seconds, p.spread}); }

Json curve_json(const std::vector<CostPoint>& points) {
  auto list = Json::array();
  for (const auto& p : points) list.push_back(point_json(p));
  return list;
}

Json entry_json(const Calibration& c) {
  Json json{{"target", c.target},
            {"ranks", c.ranks},
            {"threads", c.threads},
            {"measured_at", c.measured_at},
            {"peak_flops", c.peak_flops},
            {"memory_bandwidth", c.memory_bandwidth},
            {"peak_bandwidth", c.peak_bandwidth},
            {"launch_seconds", c.launch_seconds},
            {"overlap_cost", c.overlap_cost}};
  json["collectives"] = Json::array();
  for (const auto& cost : c.collectives)
    json["collectives"].push_back({{"kind", kCollectives[static_cast<int>(cost.kind)]},
                                   {"ranks", cost.ranks},
                                   {"nodes", cost.nodes},
                                   {"points", curve_json(cost.points)}});
  json["triad"] = curve_json(c.triad);
  json["rates"] = Json::object();
  for (const auto& [implementation, points] : c.rates) json["rates"][implementation] = curve_json(points);
  json["kernels"] = Json::object();
  for (const auto& [key, point] : c.kernels) json["kernels"][key] = point_json(point);
  return json;
}

[[noreturn]] void fail(const std::string& what) { throw UserError(what); }

double number(const Json& json, const char* name) {
  const double value = json.get<double>();
  if (!std::isfinite(value) || value < 0) fail(fmt::format("{} is {}; expected a number of at least 0", name, value));
  return value;
}

int count(const Json& json, const char* name) {
  const auto value = json.get<std::int64_t>();
  if (value < 1 || value > 10'000'000) fail(fmt::format("{} is {}; expected 1 to 10000000", name, value));
  return static_cast<int>(value);
}

CostPoint read_point(const Json& json) {
  if (!json.is_array() || json.size() != 3) fail("a cost is not [x, seconds, spread]");
  return {number(json[0], "x"), number(json[1], "seconds"), number(json[2], "spread")};
}

std::vector<CostPoint> read_curve(const Json& json) {
  if (!json.is_array() || json.size() > kMaxPoints) fail("a cost curve is not a list of at most 10000 points");
  std::vector<CostPoint> points;
  for (const auto& item : json) {
    points.push_back(read_point(item));
    if (points.size() > 1 && points.back().x <= points[points.size() - 2].x) fail("a cost curve does not ascend");
  }
  return points;
}

CollectiveCost read_collective(const Json& json) {
  CollectiveCost cost;
  const auto kind = json.at("kind").get<std::string>();
  const auto* found = std::find(std::begin(kCollectives), std::end(kCollectives), kind);
  if (found == std::end(kCollectives)) fail(fmt::format("there is no collective '{}'", kind.substr(0, 60)));
  cost.kind = static_cast<CollectiveKind>(found - std::begin(kCollectives));
  cost.ranks = count(json.at("ranks"), "ranks");
  cost.nodes = count(json.at("nodes"), "nodes");
  cost.points = read_curve(json.at("points"));
  return cost;
}

Calibration read_entry(const Json& json) {
  Calibration c;
  c.target = json.at("target").get<std::string>();
  c.ranks = count(json.at("ranks"), "ranks");
  c.threads = count(json.at("threads"), "threads");
  c.measured_at = json.at("measured_at").get<std::string>();
  c.peak_flops = number(json.at("peak_flops"), "peak_flops");
  c.memory_bandwidth = number(json.at("memory_bandwidth"), "memory_bandwidth");
  c.peak_bandwidth = number(json.at("peak_bandwidth"), "peak_bandwidth");
  c.launch_seconds = number(json.at("launch_seconds"), "launch_seconds");
  c.overlap_cost = number(json.at("overlap_cost"), "overlap_cost");
  c.triad = read_curve(json.at("triad"));
  for (const auto& item : json.at("collectives")) c.collectives.push_back(read_collective(item));
  for (const auto& [implementation, points] : json.at("rates").items()) c.rates[implementation] = read_curve(points);
  if (json.at("kernels").size() > kMaxKernels) fail("more kernels than a calibration holds");
  for (const auto& [key, point] : json.at("kernels").items()) c.kernels[key] = read_point(point);
  return c;
}

double distance(const Calibration& c, int ranks, int threads) {
  // Kernels change with a rank's threads; other ranks only share memory, caches and the clock.
  return 2 * std::abs(std::log2(double(c.threads)) - std::log2(double(threads))) +
         std::abs(std::log2(double(c.ranks) * c.threads) - std::log2(double(ranks) * threads));
}

void scale(std::vector<CostPoint>& points, double factor) {
  for (auto& p : points) p.seconds *= factor;
}

// "cpu avx512 threads=2 (oneDNN 2.6.3)" without the thread count: calibrations differ in it by design.
std::string without_threads(std::string_view target) {
  std::string text(target);
  const auto at = text.find("threads=");
  if (at == std::string::npos) return text;
  return text.erase(at, text.find_first_of(" )", at) - at);
}

}  // namespace

std::string calibration_to_json(const CalibrationSet& set) {
  Json json{{"weft_calibration", kFormat},
            {"machine", set.machine},
            {"read_bandwidth", set.read_bandwidth},
            {"write_bandwidth", set.write_bandwidth}};
  json["entries"] = Json::array();
  for (const auto& entry : set.entries) json["entries"].push_back(entry_json(entry));
  return json.dump(1) + "\n";
}

CalibrationSet parse_calibration(std::string_view text, std::string_view source) {
  try {
    const auto json = Json::parse(text);
    if (const auto format = json.at("weft_calibration").get<int>(); format != kFormat)
      fail(fmt::format("its format is {}; this Weft reads {}", format, kFormat));
    CalibrationSet set;
    set.machine = json.at("machine").get<std::string>();
    set.read_bandwidth = number(json.at("read_bandwidth"), "read_bandwidth");
    if (const auto write = json.find("write_bandwidth"); write != json.end())
      set.write_bandwidth = number(*write, "write_bandwidth");
    for (const auto& entry : json.at("entries")) set.entries.push_back(read_entry(entry));
    return set;
  } catch (const nlohmann::json::exception& e) {
    throw UserError(fmt::format("{}: not a calibration that Weft wrote: {}\n  Measure again with `weft calibrate`.",
                                source, std::string_view(e.what()).substr(0, 300)));
  } catch (UserError& e) {
    e.add_context(fmt::format("{}: not a calibration that Weft wrote; measure again with `weft calibrate`", source));
    throw;
  }
}

void merge_calibration(CalibrationSet& set, Calibration entry) {
  for (auto& old : set.entries) {
    if (old.ranks != entry.ranks || old.threads != entry.threads) continue;
    if (old.target == entry.target) entry.kernels.merge(old.kernels);
    old = std::move(entry);
    return;
  }
  set.entries.push_back(std::move(entry));
  std::sort(set.entries.begin(), set.entries.end(),
            [](const auto& a, const auto& b) { return std::pair(a.ranks, a.threads) < std::pair(b.ranks, b.threads); });
}

std::optional<PlacementCosts> placement_costs(const CalibrationSet& set, int ranks, int threads,
                                              std::string_view target) {
  const Calibration* nearest = nullptr;
  for (const auto& entry : set.entries) {
    if (!target.empty() && without_threads(entry.target) != without_threads(target)) continue;
    if (!nearest || distance(entry, ranks, threads) < distance(*nearest, ranks, threads)) nearest = &entry;
  }
  if (!nearest) return std::nullopt;
  PlacementCosts result{*nearest, true, ""};
  if (nearest->ranks == ranks && nearest->threads == threads) return result;

  result.measured = false;
  result.note = fmt::format("scaled from {} rank{} of {} thread{}", nearest->ranks, nearest->ranks == 1 ? "" : "s",
                            nearest->threads, nearest->threads == 1 ? "" : "s");
  const double more_threads = double(threads) / nearest->threads;
  const double more_cores = more_threads * ranks / nearest->ranks;
  result.fastest = (1 - kScalingMargin) * std::min({1.0, more_threads, more_cores});
  result.slowest = (1 + kScalingMargin) * std::max({1.0, more_threads, more_cores});
  auto& costs = result.costs;
  const double factor = double(nearest->threads) / threads;
  costs.ranks = ranks;
  costs.threads = threads;
  costs.peak_flops /= factor;
  costs.memory_bandwidth /= factor;
  costs.peak_bandwidth /= factor;
  if (nearest->threads != threads) costs.kernels.clear();
  scale(costs.triad, factor);
  for (auto& [implementation, points] : costs.rates) scale(points, factor);
  // Collectives are looked up by their rank count: those of other entries serve as well.
  for (const auto& entry : set.entries)
    if (&entry != nearest)
      for (const auto& cost : entry.collectives)
        if (std::none_of(costs.collectives.begin(), costs.collectives.end(), [&](const auto& have) {
              return have.kind == cost.kind && have.ranks == cost.ranks && have.nodes == cost.nodes;
            }))
          costs.collectives.push_back(cost);
  return result;
}

}  // namespace weft
