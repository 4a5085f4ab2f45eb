// Parameters, by pattern.
#include "graph/training/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/training/name_patterns.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::vector<std::string> state_names(const Model& model) {
  std::vector<std::string> names;
  for (const ModelState& s : model.states) names.push_back(s.name);
  return names;
}

TensorType type_of(const InitialValue& t) { return {t.dtype(), t.shape()}; }

std::map<std::string, std::string> tie_groups(const Model& model, const JobSpec& job) {
  std::map<std::string, std::string> tied;
  for (const std::string& entry : job.tie) {
    const std::vector<std::string> patterns = split_patterns(entry);
    check_patterns_used("tie", patterns, state_names(model));
    const ModelState* first = nullptr;
    int members = 0;
    for (const ModelState& s : model.states) {
      if (!matches_any(patterns, s.name)) continue;
      ++members;
      if (first == nullptr) {
        first = &s;
        if (tied.count(s.name) != 0)
          throw UserError(fmt::format("tie: '{}' is in two groups; join them into one entry", s.name));
        continue;
      }
      if (type_of(s.initial) != type_of(first->initial))
        throw UserError(fmt::format("tie: '{}' is {} but '{}' is {}; tied tensors must have one type and shape",
                                    first->name, type_of(first->initial).str(), s.name, type_of(s.initial).str()));
      if (!tied.emplace(s.name, first->name).second)
        throw UserError(fmt::format("tie: '{}' is in two groups; join them into one entry", s.name));
    }
    if (members < 2)
      throw UserError(
          fmt::format("tie: '{}' names one tensor only; give at least two names, separated by commas", entry));
  }
  for (const auto& [name, holder] : tied)
    if (tied.count(holder) != 0)
      throw UserError(fmt::format("tie: '{}' is in two groups; join them into one entry", holder));
  return tied;
}

/// Throws when a pattern of `train` reaches nothing that can be trained: a silent no-op otherwise.
void check_train_patterns(const Model& model, const JobSpec& job) {
  check_patterns_used("train", job.train, state_names(model));
  for (const std::string& pattern : job.train) {
    const bool any = std::any_of(model.states.begin(), model.states.end(), [&](const ModelState& s) {
      return matches(pattern, s.name) && is_float(s.initial.dtype());
    });
    if (!any)
      throw UserError(
          fmt::format("train: pattern '{}' matches only tensors of integers; parameters are floating-point", pattern));
  }
}

}  // namespace

const std::string& Parameters::holder(const std::string& name) const {
  const auto found = tied.find(name);
  return found == tied.end() ? name : found->second;
}

Parameters choose_parameters(const Model& model, const JobSpec& job, const std::vector<std::string>& statistics) {
  check_train_patterns(model, job);
  check_patterns_used("freeze", job.freeze, state_names(model));
  Parameters result;
  result.tied = tie_groups(model, job);
  std::set<std::string> wanted;
  std::set<std::string> frozen(statistics.begin(), statistics.end());
  for (const ModelState& s : model.states) {
    if (s.trainable || (matches_any(job.train, s.name) && is_float(s.initial.dtype())))
      wanted.insert(result.holder(s.name));
    if (matches_any(job.freeze, s.name)) frozen.insert(result.holder(s.name));
  }
  for (const ModelState& s : model.states)
    if (wanted.count(s.name) != 0 && frozen.count(s.name) == 0) result.trained.push_back(s.name);
  return result;
}

}  // namespace weft
