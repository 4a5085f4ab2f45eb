// weft inspect: what a file or folder is, and whether it is sound.
#include <charconv>

#include "fmt/format.h"
#include "src/cli/inspect/inspection.hpp"
#include "src/cli/printable.hpp"
#include "src/cli/verbs.hpp"
#include "src/faults/exit_report.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

void print_json(const Json& result) {
  // Names come from files: bytes that are not UTF-8 are replaced.
  fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
}

Json to_json(const std::string& path, const Inspection& found) {
  Json result{{"path", path}, {"kind", found.kind}, {"sound", found.problems.empty()}};
  if (!found.problems.empty()) result["problems"] = found.problems;
  if (!found.notes.empty()) result["notes"] = found.notes;
  result["details"] = found.details;
  return result;
}

void print_text(const std::string& path, const Inspection& found) {
  std::string out =
      fmt::format("{}: {}, {}\n{}", path, found.kind, found.problems.empty() ? "sound" : "NOT sound", found.text);
  for (const auto& note : found.notes) out += fmt::format("note: {}\n", note);
  for (const auto& problem : found.problems) out += fmt::format("problem: {}\n", problem);
  fmt::print("{}", printable(out));
}

/// exit.json, where nobody could write it: all processes of the run's newest start are gone.
void write_missing_exit_report(const fs::path& path, const std::string& since) {
  const fs::path exit = fs::is_directory(path) ? path / "exit.json" : path;
  if (exit.filename() != "exit.json")
    throw UserError("--ended-since is for a run folder or its exit.json, not for " + path.string());
  std::uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(since.data(), since.data() + since.size(), seconds);
  if (error != std::errc{} || end != since.data() + since.size() || seconds > 9'000'000'000)
    throw UserError(fmt::format("--ended-since '{}': expected seconds since 1970, as `date +%s` prints them", since));
  if (fs::exists(exit)) return;
  const auto report = compose_exit_report(fs::absolute(exit).parent_path(), {true, {}, seconds * 1'000'000'000});
  if (!report)
    throw UserError(exit.string() + ": there is none, and no rank of that start left a record: none came so far");
  write_exit_json(exit, *report);
}

}  // namespace

ExitCode run_inspect(const Arguments& arguments) {
  Options options("inspect",
                  "Says what a file or run folder is and whether it is sound: all of it is read and checked.");
  options.argument("FILE", "a model, checkpoint, training data, job, run folder, or a file of a run folder")
      .flag("json", "as JSON")
      .value("ended-since", "SECONDS",
             "of a run folder or its exit.json: a start of the run at this time (as from `date +%s`) or later is over "
             "on all nodes; exit.json is written from the ranks' records where no rank could")
      .note(
          "Kinds: ONNX models (which initialisers are parameters, and why), checkpoints and training data (HDF5),\n"
          "job files (YAML), run folders, exit.json, log.jsonl, plan.json, trace.json, TensorBoard event files, and\n"
          "ranks' records. Exits with 2 when it is not sound, and says what is wrong.")
      .example("weft inspect lenet.onnx")
      .example("weft inspect fashion-train.h5")
      .example("weft inspect runs/fashion --json");
  if (!options.parse(arguments)) return ExitCode::ok;
  const auto& path = options.text("FILE");
  PosixFileSystem files;
  if (options.has("ended-since")) write_missing_exit_report(path, options.text("ended-since"));
  Inspection found;
  try {
    found = inspect(files, path);
  } catch (const UserError& e) {
    if (options.has("json")) print_json({{"path", path}, {"sound", false}, {"problems", {printable(e.what())}}});
    throw;
  }
  if (options.has("json"))
    print_json(to_json(path, found));
  else
    print_text(path, found);
  if (found.problems.empty()) return ExitCode::ok;
  throw UserError(printable(fmt::format(
      "{}: not sound: {}{}", path, found.problems.front(),
      found.problems.size() > 1 ? fmt::format(" (and {} more, see above)", found.problems.size() - 1) : "")));
}

}  // namespace weft::cli
