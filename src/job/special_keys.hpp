// Keys with a form of their own, and the checks of texts that name things outside Weft.
#pragma once

#include "src/job/key.hpp"
#include "weft/job.hpp"

namespace weft {

Key<OptimizerSpec> betas_key();     ///< [beta1, beta2]
Key<CheckpointSpec> every_key();    ///< "1 epoch", "100 steps", "10 minutes", "never"
Key<JobSpec> precision_key();       ///< f32, bf16, f16
Key<JobSpec> batch_norm_section();  ///< {group: N}, a field of JobSpec itself
/// The section's key with the word `auto` allowed in its place; naming any of its keys ends `automatic`.
Key<JobSpec> auto_section(Key<JobSpec> section, ParallelSpec JobSpec::*field);

/// Letters, digits, '.', '_', '-', at most 64, starting with a letter or digit: safe as a folder and in a job script.
void check_job_name(const YamlNode& node);
/// As a job name, or empty.
void check_slurm_name(const YamlNode& node);
void check_time_limit(const YamlNode& node);

/// A map of texts.
template <class T>
Key<T> text_map(std::string name, std::map<std::string, std::string> T::*field, std::string meaning) {
  Key<T> key;
  key.info = {
      .name = std::move(name), .type = "map of text", .fallback = "{}", .unit = "", .meaning = std::move(meaning)};
  key.read = [=](T& object, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::map) fail_at(node, "expected a map, as in {a: b}, found " + node.described());
    (object.*field).clear();
    for (const auto& entry : node.entries) (object.*field)[entry.key] = read_text(entry.value);
  };
  key.write = [=](const T& object) {
    auto map = YamlNode::map();
    for (const auto& [item, value] : object.*field) map.add(item, write_text(value));
    return map.entries.empty() ? YamlNode{} : map;
  };
  return key;
}

}  // namespace weft
