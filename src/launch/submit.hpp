// Submission: the run folder's script and job, and the call of sbatch.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "scheduler/jobscript.hpp"
#include "src/files/file_system.hpp"
#include "weft/job.hpp"
#include "weft/site.hpp"

namespace weft {

/// Makes the run folder (as a training would, so that one in use is refused) and writes job.yaml, with absolute paths,
/// and submit.sh into it, which runs `weft` and tells it of `site_file`. Returns the script's path. Throws UserError as
/// job_script does; nothing is written then.
std::filesystem::path write_submission(FileSystem& files, const JobSpec& job, const Site& site,
                                       const ResourceRequest& request, const std::filesystem::path& weft,
                                       const std::filesystem::path& site_file);

/// Calls `sbatch --parsable SCRIPT` and returns the job's number. Throws SystemError when there is no sbatch, when it
/// fails (with what it said), when it does not answer in time (it is killed then), or answers something else.
std::string sbatch(const std::filesystem::path& script, std::chrono::seconds limit);

/// This executable.
std::filesystem::path own_executable();

}  // namespace weft
