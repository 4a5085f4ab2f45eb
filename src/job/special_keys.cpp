// Implementation of the keys with a form of their own.
#include "src/job/special_keys.hpp"

#include "fmt/format.h"
#include "src/settings/key_table.hpp"

namespace weft {
namespace {

constexpr NumberRange kBeta{0, 1};

struct Interval {
  CheckpointSpec::Unit unit;
  std::string_view one, many;
};
constexpr Interval kIntervals[] = {{CheckpointSpec::Unit::epochs, "epoch", "epochs"},
                                   {CheckpointSpec::Unit::steps, "step", "steps"},
                                   {CheckpointSpec::Unit::minutes, "minute", "minutes"}};

void read_every(CheckpointSpec& checkpoint, const YamlNode& node) {
  const std::string text = node.kind == YamlNode::Kind::scalar ? node.text : "";
  if (text == "never") {  // quoted too: every interval is text
    checkpoint.unit = CheckpointSpec::Unit::never;
    return;
  }
  const auto space = text.find(' ');
  const auto unit = space == std::string::npos ? "" : text.substr(space + 1);
  for (const auto& interval : kIntervals) {
    if (unit != interval.one && unit != interval.many) continue;
    auto count = node;
    count.text = text.substr(0, space);
    count.quoted = false;
    checkpoint.unit = interval.unit;
    checkpoint.every = interval.unit == CheckpointSpec::Unit::steps
                           ? static_cast<double>(read_integer(count, {1, 1'000'000'000'000}))
                           : read_number(count, {0, 1e9, true});
    return;
  }
  fail_at(node,
          "expected an interval such as '1 epoch', '500 steps', '30 minutes', or 'never'; found " + node.described());
}

YamlNode write_every(const CheckpointSpec& checkpoint) {
  for (const auto& interval : kIntervals)
    if (interval.unit == checkpoint.unit)
      return YamlNode::scalar(
          fmt::format("{} {}", checkpoint.every, checkpoint.every == 1 ? interval.one : interval.many));
  return YamlNode::scalar("never");
}

constexpr IntegerRange kDimension{0, 63};  // no tensor has more
constexpr IntegerRange kBlocks{1, 1'000'000};

void read_split_of(SplitHint& hint, const YamlNode& node) {
  if (node.is_word("none")) {
    hint.dimension = SplitHint::kWhole;
    return;
  }
  if (node.kind != YamlNode::Kind::map) {
    hint.dimension = static_cast<int>(read_integer(node, kDimension, "none"));
    return;
  }
  for (const auto& entry : node.entries) {
    if (entry.key == "dimension")
      hint.dimension = static_cast<int>(read_integer(entry.value, kDimension));
    else if (entry.key == "blocks")
      hint.blocks = read_integer(entry.value, kBlocks);
    else
      fail_at(node, entry, "no such key; a split has dimension and blocks");
  }
  if (node.find("dimension") == nullptr) fail_at(node, "names no dimension, as in {dimension: 1, blocks: 3}");
}

void read_split(ParallelSpec& parallel, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::map)
    fail_at(node, "expected a map, as in {\"*.c_fc.weight\": 1}, found " + node.described());
  parallel.split.clear();
  for (const auto& entry : node.entries) {
    SplitHint hint;
    hint.pattern = entry.key;
    read_split_of(hint, entry.value);
    parallel.split.push_back(std::move(hint));
  }
}

YamlNode write_split(const ParallelSpec& parallel) {
  if (parallel.split.empty()) return {};
  auto map = YamlNode::map();
  for (const auto& hint : parallel.split) {
    auto how = hint.dimension == SplitHint::kWhole ? YamlNode::scalar("none") : write_integer(hint.dimension);
    if (hint.blocks != 1) {
      const auto dimension = std::move(how);
      how = YamlNode::map();
      how.add("dimension", dimension);
      how.add("blocks", write_integer(hint.blocks));
    }
    map.add(hint.pattern, std::move(how));
  }
  return map;
}

}  // namespace

Key<ParallelSpec> split_key() {
  Key<ParallelSpec> key;
  key.info = {.name = "split",
              .type = "map of pattern: dimension, none, or {dimension: D, blocks: B}",
              .fallback = "{}",
              .meaning =
                  "which dimension of the parameters of these names (with * and ?; the first pattern that "
                  "matches applies) is cut over the tensor ranks: the whole dimension, or each of its B equal "
                  "runs (3 for fused query, key and value weights); none: they stay whole. What is not named is "
                  "cut where that costs least"};
  key.read = read_split;
  key.write = write_split;
  return key;
}

Key<OptimizerSpec> betas_key() {
  Key<OptimizerSpec> key;
  key.info = {.name = "betas",
              .type = "[number, number] from 0 to 1",
              .meaning = "decay of the mean and of the mean square of the gradient"};
  key.read = [](OptimizerSpec& optimizer, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::sequence || node.items.size() != 2)
      fail_at(node, "expected two numbers, as in [0.9, 0.999], found " + node.described());
    optimizer.beta1 = read_number(node.items[0], kBeta);
    optimizer.beta2 = read_number(node.items[1], kBeta);
  };
  key.write = [](const OptimizerSpec& optimizer) {
    auto list = YamlNode::sequence();
    list.items = {write_number(optimizer.beta1), write_number(optimizer.beta2)};
    return list;
  };
  return detail::with_fallback(std::move(key));
}

Key<CheckpointSpec> every_key() {
  Key<CheckpointSpec> key;
  key.info = {.name = "every",
              .type = "interval: N epochs, N steps, N minutes, or never",
              .meaning = "between checkpoints; the end of training always writes one"};
  key.read = read_every;
  key.write = write_every;
  return detail::with_fallback(std::move(key));
}

Key<JobSpec> precision_key() {
  static const std::vector<std::string> kPrecisions{"f32", "bf16", "f16"};
  Key<JobSpec> key;
  key.info = {.name = "precision",
              .type = "one of",
              .meaning = "of contractions; parameters and sums stay f32",
              .choices = kPrecisions};
  key.read = [](JobSpec& job, const YamlNode& node) {
    job.precision = *dtype_from_name(read_choice(node, kPrecisions));
  };
  key.write = [](const JobSpec& job) { return write_text(std::string(name_of(job.precision))); };
  return detail::with_fallback(std::move(key));
}

Key<JobSpec> batch_norm_section() {
  Keys<JobSpec> keys;
  keys.push_back(integer<JobSpec>("group", &JobSpec::batch_norm_group, {1, 1'000'000'000}, "samples",
                                  "whose statistics a batch norm shares; auto: the batch up to 256, else the largest "
                                  "power of two up to 64 that divides it",
                                  "auto"));
  Key<JobSpec> key;
  key.inner = flattened(keys, ".");
  key.info = {.name = "batch_norm", .type = "section", .meaning = "batch normalisation", .section = true};
  key.read = [keys](JobSpec& job, const YamlNode& node) {
    detail::check_is_map(node, detail::infos(keys), "");
    read_keys(keys, job, node, "");
  };
  key.write = [keys](const JobSpec& job) { return write_keys(keys, job, ""); };
  return key;
}

Key<JobSpec> auto_section(Key<JobSpec> section, ParallelSpec JobSpec::*field) {
  section.info.type = "section or auto";
  section.info.fallback = "auto";
  section.read = [field, read = std::move(section.read)](JobSpec& job, const YamlNode& node) {
    if (node.is_word("auto")) {
      job.*field = ParallelSpec{};
      return;
    }
    read(job, node);
    (job.*field).automatic = false;
  };
  section.write = [field, write = std::move(section.write)](const JobSpec& job) {
    return (job.*field).automatic ? YamlNode::scalar("auto") : write(job);
  };
  return section;
}

}  // namespace weft
