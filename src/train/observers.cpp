// Guards and tracing.
#include "src/train/observers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace weft {
namespace {

/// How many elements, padding included, are NaN or infinite.
std::int64_t count_non_finite(const std::byte* data, DType type, std::int64_t elements) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> std::int64_t {
    if constexpr (std::is_integral_v<T>) {
      return 0;
    } else {
      const T* values = reinterpret_cast<const T*>(data);
      return std::count_if(values, values + elements, [](const T& v) {
        if constexpr (std::is_same_v<T, double>)
          return !std::isfinite(v);
        else
          return !std::isfinite(static_cast<float>(v));
      });
    }
  });
}

}  // namespace

bool LossGuard::end(const Program& program, int instruction) {
  for (const View& v : program.instructions[static_cast<std::size_t>(instruction)].writes) {
    const Buffer& b = program.buffers[static_cast<std::size_t>(v.buffer)];
    if (b.kind == BufferKind::fetch && b.name == "loss") return std::isfinite(executor_.fetch("loss").as_double(0));
  }
  return true;
}

bool NonFiniteFinder::end(const Program& program, int n) {
  const Instruction& instruction = program.instructions[static_cast<std::size_t>(n)];
  if (!found_.empty()) return true;
  if (instruction.kind == InstructionKind::wait) ++collectives_;
  if (instruction.kind != InstructionKind::kernel) return true;
  for (const View& v : instruction.writes) {
    const std::int64_t elements = v.layout.storage_elements();
    View flat = v;
    flat.layout = Layout::dense(Shape{elements});
    const Tensor values = executor_.peek(flat);
    const std::int64_t bad = count_non_finite(values.data(), values.dtype(), elements);
    if (bad == 0) continue;
    found_ = fmt::format(
        "kernel '{}' made {} of {} values that are not finite numbers ({})", instruction.name, bad, elements,
        instruction.sources.empty() ? "no named node" : fmt::format("node {}", fmt::join(instruction.sources, ", ")));
    break;
  }
  return true;
}

double CommunicationTimes::in_flight() const {
  std::vector<RequestTimes> flights = flights_;
  std::sort(flights.begin(), flights.end(), [](const auto& a, const auto& b) { return a.started < b.started; });
  std::chrono::duration<double> covered{0};
  std::chrono::steady_clock::time_point until{};
  for (const RequestTimes& t : flights) {
    if (t.finished <= until) continue;
    covered += t.finished - std::max(until, t.started);
    until = t.finished;
  }
  return covered.count();
}

void Tracer::communicated(const Program& program, int n, const RequestTimes& times, double) {
  const Instruction& i = program.instructions[static_cast<std::size_t>(n)];
  const double start = since_origin(times.started);
  events_.push_back({i.name, "", Lane::communication, start, since_origin(times.finished) - start, step_});
}

bool Tracer::end(const Program& program, int n) {
  const Instruction& i = program.instructions[static_cast<std::size_t>(n)];
  // What the compute thread does about a collective takes its time; the collective itself is told when it is done.
  const bool about_collective = i.kind == InstructionKind::collective_start || i.kind == InstructionKind::wait;
  const Lane lane = about_collective ? Lane::compute : i.lane;
  const std::string implementation =
      i.kernel >= 0 ? program.kernels[static_cast<std::size_t>(i.kernel)].implementation : "";
  events_.push_back({i.name, implementation, lane, started_, now() - started_, step_});
  return true;
}

namespace {

/// Which track of its lane each event takes: collectives overlap, and a track shows one thing at a time.
std::vector<int> tracks_of(const std::vector<TraceEvent>& events) {
  std::vector<int> tracks(events.size());
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < events.size(); ++i)
    if (events[i].lane == Lane::communication) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return events[a].start < events[b].start; });
  std::vector<double> ends;
  for (const std::size_t i : order) {
    const TraceEvent& e = events[i];
    auto track = std::find_if(ends.begin(), ends.end(), [&](double end) { return end <= e.start; });
    if (track == ends.end()) track = ends.insert(ends.end(), 0);
    *track = e.start + e.seconds;
    tracks[i] = static_cast<int>(track - ends.begin());
  }
  return tracks;
}

}  // namespace

std::string Tracer::chrome_json(const std::vector<std::vector<TraceEvent>>& ranks) {
  static constexpr const char* kLanes[] = {"compute", "communication", "copy"};
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const std::vector<int> tracks = tracks_of(ranks[r]);
    // Tracks are numbered lane by lane; further ones of a lane come after all lanes.
    const auto number = [](Lane lane, int track) { return static_cast<int>(lane) + (track > 0 ? track + 2 : 0); };
    const auto name = [&](const char* kind, int thread, const std::string& text) {
      events.push_back({{"name", kind}, {"ph", "M"}, {"pid", r}, {"tid", thread}, {"args", {{"name", text}}}});
    };
    events.push_back(
        {{"name", "process_name"}, {"ph", "M"}, {"pid", r}, {"args", {{"name", fmt::format("rank {}", r)}}}});
    for (int lane = 0; lane < 3; ++lane) name("thread_name", lane, kLanes[lane]);
    const int most = tracks.empty() ? 0 : *std::max_element(tracks.begin(), tracks.end());
    for (int track = 1; track <= most; ++track)
      name("thread_name", number(Lane::communication, track), fmt::format("communication {}", track + 1));
    for (std::size_t i = 0; i < tracks.size(); ++i) {
      const TraceEvent& e = ranks[r][i];
      events.push_back({{"name", e.name},
                        {"ph", "X"},
                        {"pid", r},
                        {"tid", number(e.lane, tracks[i])},
                        {"ts", e.start * 1e6},
                        {"dur", e.seconds * 1e6},
                        {"cat", e.implementation.empty() ? kLanes[static_cast<int>(e.lane)] : e.implementation},
                        {"args", {{"step", e.step}}}});
    }
  }
  return nlohmann::ordered_json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump();
}

std::vector<std::byte> Tracer::pack() const {
  nlohmann::json list = nlohmann::json::array();
  for (const TraceEvent& e : events_)
    list.push_back({e.name, e.implementation, static_cast<int>(e.lane), e.start, e.seconds, e.step});
  const std::vector<std::uint8_t> bytes = nlohmann::json::to_msgpack(list);
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return {first, first + bytes.size()};
}

std::vector<TraceEvent> Tracer::unpack(const std::vector<std::byte>& bytes) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::vector<TraceEvent> events;
  for (const auto& e : nlohmann::json::from_msgpack(first, first + bytes.size()))
    events.push_back({e[0].get<std::string>(), e[1].get<std::string>(), static_cast<Lane>(e[2].get<int>()),
                      e[3].get<double>(), e[4].get<double>(), e[5].get<std::int64_t>()});
  return events;
}

}  // namespace weft
