// Normalisation groups.
#include "graph/training/batch_norm_group.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <vector>

#include "weft/error.hpp"

namespace weft {
namespace {

/// Divisors of `n` in ascending order.
std::vector<std::int64_t> divisors(std::int64_t n) {
  std::vector<std::int64_t> low, high;
  for (std::int64_t d = 1; d <= n / d; ++d) {
    if (n % d != 0) continue;
    low.push_back(d);
    if (d != n / d) high.push_back(n / d);
  }
  low.insert(low.end(), high.rbegin(), high.rend());
  return low;
}

std::int64_t default_group(std::int64_t batch) {
  if (batch <= 256) return batch;
  std::int64_t group = 64;
  while (batch % group != 0) group /= 2;
  return group;
}

}  // namespace

std::int64_t batch_norm_group(const JobSpec& job, std::int64_t step_samples) {
  const std::int64_t group = job.batch_norm_group.value_or(default_group(job.batch));
  if (group < 1 || job.batch % group != 0)
    throw UserError(fmt::format(
        "batch_norm.group is {}, but a batch of {} samples must divide into equal groups; groups that fit are {}",
        group, job.batch, fmt::join(divisors(job.batch), ", ")));
  if (step_samples % group == 0) return group;
  std::int64_t best = 1;
  double best_distance = HUGE_VAL;
  for (const std::int64_t d : divisors(step_samples)) {
    const double distance = std::abs(std::log(static_cast<double>(d) / static_cast<double>(group)));
    if (distance > best_distance) continue;
    best = d;
    best_distance = distance;
  }
  return best;
}

void check_groups_whole(std::int64_t pass_samples, std::int64_t step_samples, std::int64_t group) {
  if (pass_samples % group == 0) return;
  std::vector<std::int64_t> passes;
  for (const std::int64_t d : divisors(step_samples / group)) passes.push_back(d * group);
  throw UserError(
      fmt::format("a pass of {} samples would cut batch normalisation's groups of {}; passes that fit a batch of {} "
                  "have {} samples "
                  "(over all ranks): change the micro-batch, or set batch_norm: {{group: N}}",
                  pass_samples, group, step_samples, fmt::join(passes, ", ")));
}

}  // namespace weft
