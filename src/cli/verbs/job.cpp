// weft job: a job file as Weft understands it, and the list of all keys.
#include "src/job/job_file.hpp"

#include "fmt/format.h"
#include "src/cli/verbs.hpp"
#include "src/job/parallel_limits.hpp"

namespace weft::cli {

ExitCode run_job(const Arguments& arguments) {
  Options options("job", "Checks a job file and prints it with every default filled in, or lists all keys.");
  options.optional_argument("JOB.yaml", "the job file")
      .flag("schema", "lists every key with type, default, unit and meaning")
      .flag("json", "the schema as JSON")
      .list("set", "KEY=VALUE", "overrides a key, as in optimizer.lr=0.1; may be repeated")
      .example("weft job --schema")
      .example("weft job job.yaml --set optimizer.lr=0.1 --set steps=20");
  if (!options.parse(arguments)) return ExitCode::ok;
  if (options.has("schema")) {
    fmt::print("{}", options.has("json") ? job_schema_json() : job_schema_text());
    return ExitCode::ok;
  }
  if (!options.has("JOB.yaml")) throw UserError("job: name a job file, or give --schema for the list of all keys");
  if (options.has("json")) throw UserError("job: --json goes with --schema; a job is printed as YAML");
  const JobSpec job = read_job(options.text("JOB.yaml"), options.texts("set"));
  check_parallel(job.parallel);
  fmt::print("{}", job_to_yaml(job));
  return ExitCode::ok;
}

}  // namespace weft::cli
