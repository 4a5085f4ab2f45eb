// Writing and submitting.
#include "src/launch/submit.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "scheduler/script_text.hpp"
#include "src/job/job_file.hpp"
#include "src/launch/run_command.hpp"
#include "src/run/run_folder.hpp"
#include "weft/error.hpp"

namespace weft {

std::filesystem::path write_submission(FileSystem& files, const JobSpec& job, const Site& site,
                                       const ResourceRequest& request, const std::filesystem::path& weft,
                                       const std::filesystem::path& site_file) {
  const auto absolute = with_absolute_paths(job);
  const auto folder = std::filesystem::path(absolute.runs) / absolute.name;
  const auto script =
      job_script(absolute, site, request, {weft, folder / "job.yaml", std::filesystem::absolute(site_file), folder});
  auto run = RunFolder::open(files, absolute.runs, absolute.name, RunStart::resume);
  run.write_job(job_to_yaml(absolute));
  const auto path = run.path() / "submit.sh";
  write_whole_file(files, path, script);
  return path;
}

std::string sbatch(const std::filesystem::path& script, std::chrono::seconds limit) {
  CommandResult result;
  try {
    result = run_command({"sbatch", "--parsable", script.string()}, limit);
  } catch (SystemError& e) {
    e.add_context(
        fmt::format("cannot submit; where Slurm is: sbatch {}", shell_quoted(script.string(), "the script's path")));
    throw;
  }
  auto& said = result.output;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (result.code != 0)
    throw SystemError(
        fmt::format("sbatch refused {} (exit code {}): {}", script.string(), result.code, printable(said)));
  // "1234" or "1234;cluster", as the last line: sites print messages of their own before it.
  const auto line = said.substr(said.rfind('\n') + 1);
  const auto number = line.substr(0, line.find(';'));
  if (number.empty() || !std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; }))
    throw SystemError(
        fmt::format("sbatch was called and answered without a job number: '{}'. See `squeue --me`", printable(said)));
  return number;
}

std::filesystem::path own_executable() {
  std::error_code error;
  auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw SystemError("cannot find the path of this executable (/proc/self/exe): " + error.message());
  return path;
}

}  // namespace weft
