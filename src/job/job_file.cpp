// Reading a job: tree, overrides, table, then the rules that tie several keys together.
#include "src/job/job_file.hpp"

#include <sstream>

#include "fmt/format.h"
#include "src/job/job_keys.hpp"
#include "src/settings/key_table.hpp"
#include "src/settings/schema.hpp"
#include "src/settings/settings_file.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

void set_source(YamlNode& node, const std::shared_ptr<const std::string>& source) {
  node.source = source;
  node.line = node.column = 0;
  for (auto& entry : node.entries) {
    entry.line = entry.column = 0;
    set_source(entry.value, source);
  }
  for (auto& item : node.items) set_source(item, source);
}

// A section given as a bare value (`loss: mse`) becomes a map, so that an override can go into it.
void open_section(YamlNode& parent, YamlNode& node, const std::string& name, const Keys<JobSpec>& keys) {
  if (node.kind == YamlNode::Kind::map) return;
  const auto value = node;
  node = YamlNode::map();
  node.source = value.source;
  node.line = value.line;
  node.column = value.column;
  if (!parent.path.empty() || value.kind != YamlNode::Kind::scalar) return;
  for (const auto& key : keys)
    if (key.info.name == name && !key.info.scalar_key.empty()) node.add(key.info.scalar_key, value);
}

void apply_override(YamlNode& document, const std::string& text, const Keys<JobSpec>& keys) {
  const auto source = std::make_shared<const std::string>("--set " + text.substr(0, 200));
  const auto equals = text.find('=');
  const auto path = split(text.substr(0, equals), '.');
  if (equals == std::string::npos || path.empty())
    throw UserError(fmt::format("--set {}: expected KEY=VALUE, as in --set optimizer.lr=0.1", text));
  auto value = parse_yaml(text.substr(equals + 1), *source);
  set_source(value, source);

  auto* node = &document;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    auto* next = node->find(path[i]);
    if (!next) {
      node->add(path[i], YamlNode::map());
      next = node->find(path[i]);
      next->source = source;
    }
    open_section(*node, *next, path[i], keys);
    node = next;
  }
  node->remove(path.back());
  if (!value.is_null()) node->add(path.back(), std::move(value));
}

// The node that a message about `path` should point at: itself, or the nearest thing around it that is there.
const YamlNode& place_of(const YamlNode& document, const std::string& path) {
  const auto* node = &document;
  for (const auto& part : split(path, '.')) {
    const auto* next = node->find(part);
    if (!next) break;
    node = next;
  }
  return *node;
}

// Rules between keys.
void check_job(const JobSpec& job, const YamlNode& document) {
  const auto fail = [&](const std::string& path, const std::string& message) {
    auto place = place_of(document, path);
    place.path = path;
    fail_at(place, message);
  };
  const auto& o = job.optimizer;
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0))
    fail("optimizer.nesterov", "needs a momentum above 0 and no dampening");
  if (!job.loss.output.empty() && !job.loss.name.empty())
    fail("loss.output", "is instead of loss.name; leave one of the two out");
  if (job.loss.name.empty() && job.loss.output.empty()) fail("loss", "needs a name or an output");
  if (!job.loss.name.empty() && job.data.target.empty())
    fail("data.target", fmt::format("the loss {} compares with a dataset; name it", job.loss.name));
  if (job.schedule.name == "step" && job.schedule.step_size == 0)
    fail("schedule.step_size", "the schedule 'step' needs the number of steps between decays");
  if (job.micro_batch.value_or(1) > job.batch)
    fail("micro_batch", fmt::format("{} is more than the batch of {}", *job.micro_batch, job.batch));
  if (job.batch_norm_group && job.batch % *job.batch_norm_group != 0)
    fail("batch_norm.group", fmt::format("{} does not divide the batch of {}", *job.batch_norm_group, job.batch));
  if (!job.data.mean.empty() && !job.data.std.empty() && job.data.mean.size() != job.data.std.size())
    fail("data.std",
         fmt::format("{} values, but data.mean has {}; one a channel", job.data.std.size(), job.data.mean.size()));
  if (job.data.crop_padding > 0 && job.data.crop == 0)
    fail("data.crop_padding", "has no effect without data.crop; set both or neither");
}

}  // namespace

JobSpec parse_job(std::string_view text, std::string_view source, const std::string& directory,
                  const std::vector<std::string>& overrides) {
  auto document = parse_settings(text, source, "see `weft job --schema` for its keys");
  const auto keys = job_keys();
  for (const auto& item : overrides) apply_override(document, item, keys);
  set_paths(document, "");

  JobSpec job;
  job.directory = directory;
  read_keys(keys, job, document, "");
  // A model that computes its own loss needs no target unless one is named.
  if (job.loss.name.empty() && !document.find("data")->find("target")) job.data.target.clear();
  check_job(job, document);
  return job;
}

JobSpec read_job(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  const auto text = read_settings_text(file, "job file");
  const auto folder = file.parent_path();
  return parse_job(text, file.string(), folder.empty() ? "." : folder.string(), overrides);
}

std::string job_schema_text() {
  return schema_text(flattened(job_keys(), ""),
                     "Every key of a job file: path, type, default, unit, and what it means. A list may be a single "
                     "value.\nRelative paths start at the job file's folder. Any key can be set with --set PATH=VALUE; "
                     "VALUE null removes it.\n");
}

std::string job_schema_json() { return schema_json(flattened(job_keys(), "")); }

std::string job_to_yaml(const JobSpec& job) { return write_yaml(write_keys(job_keys(), job, "")); }

std::filesystem::path job_path(const JobSpec& job, const std::string& path) {
  return (std::filesystem::path(job.directory) / path).lexically_normal();
}

JobSpec with_absolute_paths(JobSpec job) {
  const auto absolute = [&](std::string& path) {
    if (!path.empty()) path = std::filesystem::absolute(job_path(job, path)).lexically_normal().string();
  };
  absolute(job.model);
  absolute(job.data.train);
  absolute(job.data.eval);
  absolute(job.runs);
  return job;
}

}  // namespace weft
