// Inspection of a run folder: every file of it on its own, and how the run stands.
#include <algorithm>

#include "fmt/format.h"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/load.hpp"
#include "src/cli/inspect/inspection.hpp"
#include "src/faults/exit_report.hpp"
#include "src/faults/flight_file.hpp"
#include "src/faults/rank_records.hpp"
#include "src/job/job_file.hpp"
#include "src/run/run_folder.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostRanksShown = 16;

// Makes a file's inspection part of the folder's; one that cannot be used is a problem, not the end.
template <class Inspect>
void add_file(Inspection& run, const fs::path& path, Json& details, Inspect&& inspect) {
  const auto name = path.filename().string();
  try {
    const Inspection file = inspect();
    details = file.details;
    for (const auto& problem : file.problems) run.problems.push_back(name + ": " + problem);
    for (const auto& note : file.notes) run.notes.push_back(name + ": " + note);
    run.text += fmt::format("{}: {}\n{}", name, file.problems.empty() ? "sound" : "NOT sound", file.text);
  } catch (const Error& e) {
    run.problems.push_back(fmt::format("{}: {}", name, e.what()));
    run.text += fmt::format("{}: NOT sound\n", name);
  }
}

void add_checkpoints(FileSystem& files, const fs::path& folder, Inspection& run) {
  Json all = Json::array();
  std::string lines;
  int sound = 0;
  for (const auto& file : list_checkpoints(files, folder)) {
    const auto name = file.path.filename().string();
    Json one{{"file", name}, {"step", file.step}};
    try {
      const auto checkpoint = describe_checkpoint(files, file.path);
      lines += fmt::format("  {:20} sound  step {}, {} bytes, {} states\n", name, checkpoint.meta.step,
                           checkpoint.file_bytes, checkpoint.states.size());
      one["sound"] = true;
      ++sound;
      if (checkpoint.meta.step != file.step)
        run.problems.push_back(fmt::format("checkpoints/{}: it is of step {}", name, checkpoint.meta.step));
    } catch (const Error& e) {
      lines += fmt::format("  {:20} NOT sound\n", name);
      one["sound"] = false;
      run.problems.push_back(fmt::format("checkpoints/{}", e.what()));
    }
    all.push_back(std::move(one));
  }
  run.text += fmt::format("checkpoints: {}, {} sound\n{}", all.size(), sound, lines);
  run.details["checkpoints"] = std::move(all);
  for (const auto& name : files.list(folder)) {
    if (name.ends_with(".partial"))
      run.notes.push_back(fmt::format("checkpoints/{}: an unfinished save; the next start removes it", name));
    if (name.ends_with(".set-aside"))
      run.notes.push_back(fmt::format("checkpoints/{}: set aside when the run went back to an earlier step", name));
  }
}

void add_ranks(const fs::path& path, Inspection& run) {
  const auto records = read_rank_records(path);
  if (records.found.empty() && records.unreadable.empty()) return;
  const auto running = std::count_if(records.found.begin(), records.found.end(),
                                     [](const LastOperation& r) { return !r.ended() && is_alive(r) == Alive::yes; });
  run.text += fmt::format("ranks: {} records, {} running here\n", records.found.size(), running);
  Json all = Json::array();
  for (const auto& r : records.found) {
    if (all.size() < kMostRanksShown)
      run.text +=
          fmt::format("  {:4} {}\n", r.rank,
                      r.finished ? fmt::format("{} after '{}' at step {}", name_of(r.reason), r.operation, r.step)
                                 : describe_rank(path, r.rank));
    all.push_back({{"rank", r.rank},
                   {"host", r.host},
                   {"step", r.step},
                   {"state", name_of(r.state)},
                   {"operation", r.operation}});
  }
  if (all.size() > kMostRanksShown) run.text += fmt::format("  … and {} more\n", all.size() - kMostRanksShown);
  run.details["ranks"] = std::move(all);
  if (!records.unreadable.empty())
    run.notes.push_back(fmt::format("no record of {} ranks, the first of them {}: killed early, or damaged",
                                    records.unreadable.size(), records.unreadable.front()));
  run.details["running"] = running;
}

// What the ranks' last collectives show, where they do not agree.
void add_flights(const fs::path& path, Inspection& run) {
  const auto flights = read_flights(path);
  if (flights.empty()) return;
  const std::string difference = first_flight_difference(flights);
  run.text += fmt::format("collectives: logs of {} ranks (ranks/R.flight); {}\n", flights.size(),
                          difference.empty() ? "they agree as far as they reach" : difference);
  Json all = Json::array();
  for (const RankFlight& flight : flights) {
    const FlightRecord* last = flight.records.empty() ? nullptr : &flight.records.back();
    if (last != nullptr && all.size() < kMostRanksShown)
      run.text += fmt::format("  {:4} last {} ({})\n", flight.rank, last->str(), name_of(last->state));
    all.push_back({{"rank", flight.rank}, {"operations", last == nullptr ? 0 : last->number}});
    if (last != nullptr) all.back()["last"] = last->str();
  }
  run.details["collectives"] = {{"difference", difference}, {"ranks", std::move(all)}};
}

// exit.json, or what would be in it.
void add_exit(FileSystem& files, const fs::path& path, Inspection& run) {
  if (files.exists(path / "exit.json")) {
    add_file(run, path / "exit.json", run.details["exit"],
             [&] { return inspect_exit_report(files, path / "exit.json"); });
    return;
  }
  // Ranks of other nodes cannot be looked up here; the lock of the run reaches as far as the file system's do.
  auto report = compose_exit_report(path);
  std::string_view source = "from the ranks' records";
  if (!report && RunFolder::in_use(path) == false) {
    report = compose_exit_report(path, {true, {}, 0});
    source = "nobody holds the run folder, and from the ranks' records";
  }
  if (!report) {
    run.text += "no exit.json: it runs, or was never started\n";
    return;
  }
  run.text += fmt::format("no exit.json; {}: {}: {}\n", source, name_of(report->reason), report->message);
  run.details["exit"] = {{"reason", name_of(report->reason)},
                         {"rank", report->rank},
                         {"step", report->step},
                         {"operation", report->operation},
                         {"message", report->message}};
}

}  // namespace

bool looks_like_run_folder(const FileSystem& files, const fs::path& path) {
  return (files.exists(path / "job.yaml") && (files.exists(path / "ranks") || files.exists(path / "checkpoints"))) ||
         files.exists(path / "exit.json") || files.exists(path / "ranks" / "0");
}

Inspection inspect_run_folder(FileSystem& files, const fs::path& path) {
  Inspection run;
  run.kind = "run folder";
  const auto add = [&](const char* name, const char* key, auto&& inspect) {
    if (files.exists(path / name)) add_file(run, path / name, run.details[key], [&] { return inspect(path / name); });
  };
  if (files.exists(path / "job.yaml"))
    add("job.yaml", "job", inspect_job);
  else
    run.problems.emplace_back("it has no job.yaml");
  add("plan.json", "plan", [&](const fs::path& file) { return inspect_plan(files, file); });
  add_exit(files, path, run);
  add("log.jsonl", "log", [&](const fs::path& file) { return inspect_log(files, file); });
  add_checkpoints(files, path / "checkpoints", run);
  add_ranks(path, run);
  add_flights(path, run);
  for (const auto& name : files.list(path))
    if (name.find("tfevents") != std::string::npos)
      add_file(run, path / name, run.details["event_files"][name],
               [&] { return inspect_event_file(files, path / name); });
  add("trace.json", "trace", [&](const fs::path& file) { return inspect_trace(file); });
  add("model.onnx", "model", [&](const fs::path& file) {
    auto model = inspect_model(file);
    model.text.clear();  // long, and one's own
    model.details = {{"parameter_count", model.details["parameter_count"]}};
    return model;
  });
  return run;
}

}  // namespace weft::cli
