// Job files: YAML to JobSpec and back.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "weft/job.hpp"

namespace weft {

/// Reads and checks a job. `overrides` are "key.path=value" texts (as given to --set), applied to the file's tree
/// before it is read, so that they meet the same checks; `key=null` removes a key, which brings back its default.
/// Throws UserError with file, line, column and key; SystemError when the file cannot be read.
JobSpec read_job(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

/// The same from text: `source` names it in messages, `directory` is where relative paths start.
JobSpec parse_job(std::string_view text, std::string_view source, const std::string& directory,
                  const std::vector<std::string>& overrides = {});

/// Every key that applies, defaults resolved: parse_job reads it back as an equal JobSpec, given the same directory.
std::string job_to_yaml(const JobSpec& job);

/// `path` as the job means it: absolute ones stay, relative ones start at the job file's folder.
std::filesystem::path job_path(const JobSpec& job, const std::string& path);

/// The job with model, data and runs as absolute paths: what a run folder keeps, so that its job.yaml works there too.
JobSpec with_absolute_paths(JobSpec job);

/// What `weft job --schema` prints.
std::string job_schema_text();
std::string job_schema_json();

}  // namespace weft
