// Inspection of trace.json, in the Chrome trace event format. Traces grow large, so the events are counted as they
// pass and not kept.
#include <cerrno>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "fmt/format.h"
#include "src/cli/inspect/inspection.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 64;
constexpr std::size_t kMostNames = 100'000;
constexpr std::size_t kMostRanks = 1 << 20;
constexpr std::size_t kShown = 8;

struct Event {
  std::string name, phase;
  double start = NAN, duration = NAN, process = NAN;
};

struct Spans {
  std::int64_t count = 0;
  double microseconds = 0;
};

// nlohmann's SAX interface. Events are the objects directly inside the array "traceEvents", or inside the array that
// is the whole file.
class Reader final : public Json::json_sax_t {
 public:
  std::int64_t events = 0, malformed = 0;
  double first = INFINITY, last = -INFINITY;
  std::map<std::string, Spans> spans;
  std::set<double> ranks;
  std::string error;
  bool found = false;  ///< the array of events was there

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t v) override { return number(static_cast<double>(v)); }
  bool number_unsigned(number_unsigned_t v) override { return number(static_cast<double>(v)); }
  bool number_float(number_float_t v, const string_t&) override { return number(v); }
  bool string(string_t& v) override {
    if (depth_ != event_depth_) return true;
    if (key_ == "name")
      event_.name = std::move(v);
    else if (key_ == "ph")
      event_.phase = std::move(v);
    return true;
  }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    if (array_depth_ >= 0 && depth_ == array_depth_) {
      event_ = {};
      event_depth_ = depth_ + 1;
    }
    return deeper();
  }
  bool end_object() override {
    if (depth_ == event_depth_) {
      take_event();
      event_depth_ = -1;
    }
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (!deeper()) return false;
    if (depth_ == 1 || (depth_ == 2 && key_ == "traceEvents")) {
      array_depth_ = depth_;
      found = true;
    }
    return true;
  }
  bool end_array() override {
    if (depth_ == array_depth_) array_depth_ = -1;
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ == event_depth_ || depth_ == 1) key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    const std::string text = e.what();
    const auto colon = text.rfind("; ");
    error = fmt::format("it is no JSON at byte {}{}", position, colon == std::string::npos ? "" : text.substr(colon));
    return false;
  }

 private:
  bool deeper() {
    if (++depth_ <= kDeepest) return true;
    error = fmt::format("it is nested more than {} deep", kDeepest);
    return false;
  }
  bool number(double value) {
    if (depth_ != event_depth_) return true;
    if (key_ == "ts") event_.start = value;
    if (key_ == "dur") event_.duration = value;
    if (key_ == "pid") event_.process = value;
    return true;
  }
  void take_event() {
    if (event_.phase.empty()) {
      ++malformed;
      return;
    }
    if (!std::isnan(event_.process) && ranks.size() < kMostRanks) ranks.insert(event_.process);
    if (event_.phase != "X") return;  // metadata and markers
    ++events;
    if (!std::isfinite(event_.start) || !std::isfinite(event_.duration) || event_.duration < 0) {
      ++malformed;
      return;
    }
    first = std::min(first, event_.start);
    last = std::max(last, event_.start + event_.duration);
    if (spans.size() >= kMostNames && !spans.contains(event_.name)) return;
    auto& span = spans[event_.name];
    ++span.count;
    span.microseconds += event_.duration;
  }

  int depth_ = 0, array_depth_ = -1, event_depth_ = -1;
  std::string key_;
  Event event_;
};

}  // namespace

Inspection inspect_trace(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream.is_open()) throw SystemError::from_errno("cannot read " + path.string(), errno);
  Reader reader;
  Json::sax_parse(stream, &reader);
  Inspection result;
  result.kind = "trace";
  if (!reader.error.empty()) result.problems.push_back(reader.error);
  if (reader.error.empty() && !reader.found) result.problems.emplace_back("it holds no array of trace events");
  if (reader.malformed > 0)
    result.problems.push_back(fmt::format("{} events lack a phase, a start or a duration", reader.malformed));
  const double seconds = reader.last > reader.first ? (reader.last - reader.first) * 1e-6 : 0;
  std::vector<std::pair<std::string, Spans>> longest(reader.spans.begin(), reader.spans.end());
  std::stable_sort(longest.begin(), longest.end(),
                   [](const auto& a, const auto& b) { return a.second.microseconds > b.second.microseconds; });
  if (longest.size() > kShown) longest.resize(kShown);
  result.text = fmt::format("  {} events of {} ranks over {:.3f} s; Perfetto (ui.perfetto.dev) shows it\n",
                            reader.events, reader.ranks.size(), seconds);
  Json names = Json::array();
  for (const auto& [name, spans] : longest) {
    result.text += fmt::format("  {:10.3f} ms in {} x {}\n", spans.microseconds * 1e-3, spans.count, name);
    names.push_back({{"name", name}, {"count", spans.count}, {"ms", spans.microseconds * 1e-3}});
  }
  result.details = {
      {"events", reader.events}, {"ranks", reader.ranks.size()}, {"seconds", seconds}, {"longest", names}};
  return result;
}

}  // namespace weft::cli
