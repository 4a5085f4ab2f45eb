// Inspections of the small files of a run folder: exit.json, log.jsonl, plan.json and ranks' records.
#include <algorithm>
#include <charconv>

#include "fmt/format.h"
#include "src/cli/inspect/inspection.hpp"
#include "src/faults/exit_report.hpp"
#include "src/faults/flight_file.hpp"
#include "src/faults/rank_records.hpp"
#include "weft/error.hpp"
#include "weft/plan.hpp"

namespace weft::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kSmallFile = 1 << 20;
constexpr std::int64_t kLargestLog = std::int64_t{1} << 30;

// What a log line must be; empty when it is.
std::string fault_of_line(const Json& line, std::int64_t last_step) {
  if (!line.is_object()) return "is no JSON object";
  if (!line.contains("step") || !line["step"].is_number_integer()) return "has no step";
  if (line["step"].get<std::int64_t>() < last_step) return "has an earlier step than the line before";
  return "";
}

const char* described(ExitReason reason) {
  switch (reason) {
    case ExitReason::completed: return "all steps done";
    case ExitReason::stopped_signal: return "stopped by a signal, with a good checkpoint: submit again";
    case ExitReason::stopped_time: return "stopped before its time limit, with a good checkpoint: submit again";
    case ExitReason::user_error: return "the input is wrong";
    case ExitReason::system_error: return "the system failed";
    case ExitReason::internal_error: return "a fault of Weft's own";
    case ExitReason::killed: return "killed";
    case ExitReason::lost_peer: return "a rank lost a peer";
  }
  return "";
}

}  // namespace

Inspection inspect_exit_report(FileSystem& files, const std::filesystem::path& path) {
  read_whole_file(files, path, kSmallFile);  // bounds the size, and names what cannot be read
  const auto report = read_exit_json(path);
  if (!report)
    throw UserError(path.string() +
                    ": JSON, or nearly, but neither an exit report (it has no known `reason`), a "
                    "trace, a plan nor a log of Weft's");
  Inspection result;
  result.kind = "exit report";
  result.text = fmt::format("  {}: {}\n", name_of(report->reason), described(report->reason));
  if (report->rank >= 0)
    result.text += fmt::format("  at rank {}, step {}, in '{}'\n", report->rank, report->step, report->operation);
  if (!report->message.empty() && report->message != name_of(report->reason))
    result.text += fmt::format("  {}\n", report->message);
  result.details = {{"reason", name_of(report->reason)},
                    {"rank", report->rank},
                    {"step", report->step},
                    {"operation", report->operation},
                    {"message", report->message}};
  return result;
}

Inspection inspect_log(FileSystem& files, const std::filesystem::path& path) {
  const auto text = read_whole_file(files, path, kLargestLog);
  Inspection result;
  result.kind = "training log";
  std::int64_t lines = 0, evaluations = 0, skipped = 0, last_step = 0;
  Json last, last_evaluation;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    if (end == std::string::npos) {
      result.notes.emplace_back("its last line is unfinished: it is being written, or its writer was killed");
      break;
    }
    auto line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                            text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    at = end + 1;
    ++lines;
    if (const auto fault = fault_of_line(line, last_step); !fault.empty()) {
      result.problems.push_back(fmt::format("line {} {}", lines, fault));
      break;
    }
    last_step = line["step"].get<std::int64_t>();
    const auto is = [&](const char* key) { return line.contains(key) && line[key] == true; };
    if (is("skipped")) ++skipped;
    if (is("eval")) ++evaluations;
    (is("eval") ? last_evaluation : last) = std::move(line);
  }
  const auto shown = [](const char* what, const Json& line) {
    std::string out;
    for (const auto& [key, value] : line.items())
      if (value.is_number()) out += fmt::format("  {} {:.6g}", key, value.get<double>());
    return out.empty() ? "" : fmt::format("  {}:{}\n", what, out);
  };
  result.text = fmt::format("  {} lines, {} of them evaluations, up to step {}{}\n", lines, evaluations, last_step,
                            skipped > 0 ? fmt::format("; {} steps skipped", skipped) : "");
  result.text += shown("last step", last) + shown("last evaluation", last_evaluation);
  result.details = {{"lines", lines}, {"evaluations", evaluations}, {"skipped", skipped}, {"last_step", last_step}};
  if (!last.is_null()) result.details["last"] = last;
  if (!last_evaluation.is_null()) result.details["last_evaluation"] = last_evaluation;
  return result;
}

Inspection inspect_plan(FileSystem& files, const std::filesystem::path& path) {
  const auto text = read_whole_file(files, path, kSmallFile);
  Inspection result;
  result.kind = "plan";
  try {
    const auto plan = Plan::parse(text);
    result.text = fmt::format("  {} samples a step in {} passes on mesh {}; ZeRO stage {}, {} contractions{}\n",
                              plan.global_batch, plan.micro_batches, plan.mesh.str(), plan.zero, name_of(plan.compute),
                              plan.deterministic ? ", deterministic" : "");
    result.details = Json::parse(plan.json());
  } catch (UserError& e) {
    e.add_context(path.string());
    throw;
  }
  return result;
}

Inspection inspect_rank_record(const std::filesystem::path& path) {
  const auto record = read_last_operation(path);
  if (!record) throw UserError(path.string() + ": a rank's record, and damaged: nothing in it can be believed");
  Inspection result;
  result.kind = "record of a rank";
  result.text = fmt::format("  rank {} of {} on host {}, process {}: {} '{}' at step {}\n", record->rank, record->ranks,
                            record->host, record->pid, name_of(record->state), record->operation, record->step);
  if (record->finished) result.text += fmt::format("  ended: {} {}\n", name_of(record->reason), record->message);
  if (record->crash_signal != 0) result.text += fmt::format("  crashed with signal {}\n", record->crash_signal);
  if (record->terminate_signal != 0)
    result.text += fmt::format("  was told to terminate by signal {}\n", record->terminate_signal);
  const auto alive = is_alive(*record);
  if (!record->ended())
    result.text += alive == Alive::yes  ? "  its process runs\n"
                   : alive == Alive::no ? "  its process is gone, without a word: it was killed\n"
                                        : "  whether its process runs is only known on its host\n";
  result.details = {{"rank", record->rank},           {"ranks", record->ranks},
                    {"host", record->host},           {"pid", record->pid},
                    {"step", record->step},           {"state", name_of(record->state)},
                    {"operation", record->operation}, {"finished", record->finished}};
  if (alive != Alive::unknown) result.details["alive"] = alive == Alive::yes;
  if (record->finished) result.details["reason"] = name_of(record->reason);
  return result;
}

Inspection inspect_flight_log(const std::filesystem::path& path) {
  const auto flight = read_flight_file(path);
  if (!flight) throw UserError(path.string() + ": a rank's flight log, and damaged: nothing in it can be believed");
  Inspection result;
  result.kind = "flight log of a rank";
  result.text = fmt::format("  rank {} of {}: its last {} communication operations, oldest first\n", flight->rank,
                            flight->ranks, flight->records.size());
  Json all = Json::array();
  for (const FlightRecord& r : flight->records) {
    const bool done = r.state != FlightState::started;
    result.text += fmt::format("  {} ({}{})\n", r.str(), name_of(r.state),
                               done ? fmt::format(", {:.3f} ms", 1e3 * (r.finished - r.started)) : "");
    all.push_back({{"operation", r.str()}, {"state", name_of(r.state)}, {"started", r.started}});
    if (done) all.back()["finished"] = r.finished;
  }
  result.details = {{"rank", flight->rank}, {"ranks", flight->ranks}, {"operations", std::move(all)}};
  return result;
}

}  // namespace weft::cli
