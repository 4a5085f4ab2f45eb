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

bool Tracer::end(const Program& program, int n) {
  const Instruction& i = program.instructions[static_cast<std::size_t>(n)];
  const std::string implementation =
      i.kernel >= 0 ? program.kernels[static_cast<std::size_t>(i.kernel)].implementation : "";
  events_.push_back({i.name, implementation, i.lane, started_, now() - started_, step_});
  return true;
}

std::string Tracer::chrome_json(const std::vector<std::vector<TraceEvent>>& ranks) {
  static constexpr const char* kLanes[] = {"compute", "communication", "copy"};
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    events.push_back(
        {{"name", "process_name"}, {"ph", "M"}, {"pid", r}, {"args", {{"name", fmt::format("rank {}", r)}}}});
    for (int lane = 0; lane < 3; ++lane)
      events.push_back(
          {{"name", "thread_name"}, {"ph", "M"}, {"pid", r}, {"tid", lane}, {"args", {{"name", kLanes[lane]}}}});
    for (const TraceEvent& e : ranks[r])
      events.push_back({{"name", e.name},
                        {"ph", "X"},
                        {"pid", r},
                        {"tid", static_cast<int>(e.lane)},
                        {"ts", e.start * 1e6},
                        {"dur", e.seconds * 1e6},
                        {"cat", e.implementation.empty() ? kLanes[static_cast<int>(e.lane)] : e.implementation},
                        {"args", {{"step", e.step}}}});
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
