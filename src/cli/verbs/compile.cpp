// weft compile: what a job or a model becomes, without running it.
#include <filesystem>

#include "fmt/format.h"
#include "src/cli/verbs.hpp"
#include "src/compile/report.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"

namespace weft::cli {
namespace {

std::map<std::string, std::int64_t> parse_dimensions(const std::vector<std::string>& texts) {
  std::map<std::string, std::int64_t> dimensions;
  for (const std::string& text : texts) {
    const auto equals = text.rfind('=');
    const std::string extent = equals == std::string::npos ? "" : text.substr(equals + 1);
    const bool number = !extent.empty() && extent.size() < 10 &&
                        extent.find_first_not_of("0123456789") == std::string::npos && std::stoll(extent) > 0;
    if (!number || equals == 0) throw UserError(fmt::format("compile: --dim takes NAME=EXTENT, not '{}'", text));
    dimensions[text.substr(0, equals)] = std::stoll(extent);
  }
  return dimensions;
}

Compilation compile(const Options& options) {
  const std::string& path = options.text("FILE");
  const std::string& dumped = options.text("dump");
  const auto extension = std::filesystem::path(path).extension();
  const auto only = [&](const char* option, const char* kind) {
    if (options.has(option)) throw UserError(fmt::format("compile: --{} goes with a {}", option, kind));
  };
  if (extension == ".onnx") {
    only("ranks", "job");
    only("set", "job");
    ModelSizes sizes;
    if (options.has("batch")) sizes.batch = options.integer("batch", 1, std::int64_t{1} << 31);
    sizes.dimensions = parse_dimensions(options.texts("dim"));
    return compile_model(path, sizes, *make_device("auto", {}, false),
                         {options.names("without"), dumped, options.has("kernels")});
  }
  if (extension != ".yaml" && extension != ".yml")
    throw UserError(fmt::format("{}: neither a model (.onnx) nor a job (.yaml)", path));
  only("dim", "model; a job's data says what its dimensions are");
  std::vector<std::string> overrides = options.texts("set");
  if (options.has("batch"))
    overrides.push_back(fmt::format("batch={}", options.integer("batch", 1, std::int64_t{1} << 31)));
  if (options.has("without")) overrides.push_back(fmt::format("compile.without=[{}]", options.text("without")));
  const auto ranks = options.has("ranks") ? static_cast<int>(options.integer("ranks", 1, 1 << 20)) : 1;
  const JobSpec job = read_job(path, overrides);
  const auto device = make_device(job.device, {ranks, job.threads}, job.deterministic, job.math == "fast");
  return compile_job(path, job, ranks, *device, {{}, dumped, options.has("kernels")});
}

}  // namespace

ExitCode run_compile(const Arguments& arguments) {
  Options options("compile",
                  "Compiles a model for inference, or all steps of a job, and shows plan, memory, instructions and "
                  "kernels. Trains nothing.");
  options.optional_argument("FILE", "MODEL.onnx, or JOB.yaml: the job's data must be there, for its shapes")
      .flag("explain", "every kernel: who took it, at what estimated cost, and why others refused")
      .flag("passes", "every compiler pass: its time, and what it changed; and all other time up to here")
      .value(
          "dump", "PASS",
          "prints what a compiler pass was given and what it made; `--dump list` names the passes; graph is the whole "
          "step, program all instructions")
      .value("without", "PASS[,PASS]", "leaves compiler passes out; a job's key `compile.without` does it in training")
      .flag(
          "kernels",
          "makes the kernels too, and on a cold start of a job measures their schedules (compile.tune): both are kept, "
          "and training starts warm")
      .flag("json", "the summary as JSON, passes too, and with --explain the kernels")
      .value("batch", "N", "samples: of a model's pass (default what it fixes, or 1), or the job's batch")
      .value("ranks", "N", "jobs: compiles what rank 0 of so many ranks would run (default 1)")
      .list("dim", "NAME=EXTENT", "models: the extent of an open dimension; may be repeated")
      .list("set", "KEY=VALUE", "jobs: overrides a key of the job; may be repeated")
      .note(
          "Threads and memory limits are this machine's, shared out as if all ranks ran on it. Times are estimates "
          "that nobody measured: `weft plan` prices a job with a site's calibration.")
      .example("weft compile lenet.onnx --batch 64")
      .example("weft compile job.yaml --ranks 4 --explain")
      .example("weft compile job.yaml --dump program")
      .example("weft compile --dump list");
  if (!options.parse(arguments)) return ExitCode::ok;
  if (options.has("dump") && (options.has("json") || options.has("explain") || options.has("passes")))
    throw UserError("compile: --dump goes alone: it prints graphs as text");
  if (options.text("dump") == "list") {
    fmt::print("{}", pass_list_text());
    return ExitCode::ok;
  }
  if (!options.has("FILE"))
    throw UserError("compile: FILE is missing: MODEL.onnx or JOB.yaml\n  See `weft compile --help`.");
  if (options.has("dump")) check_dump_name(options.text("dump"));
  check_left_out(options.names("without"));
  const Compilation compilation = compile(options);
  if (options.has("dump"))
    fmt::print("{}", dump(compilation, options.text("dump")));
  else if (options.has("json"))
    fmt::print("{}\n", report_json(compilation, options.has("explain")));
  else
    fmt::print("{}{}{}", summary_text(compilation), options.has("passes") ? passes_text(compilation) : "",
               options.has("explain") ? explain_text(compilation) : "");
  return ExitCode::ok;
}

}  // namespace weft::cli
