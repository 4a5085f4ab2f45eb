// Schedules, and their simulation.
#include "graph/pipeline/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "weft/error.hpp"

namespace weft {
namespace {

/// Number `i` of the passes of one direction through the chunks of a rank.
StagePass nth_pass(int i, bool backward, int ranks, int chunks, int rank) {
  const int group = i / (ranks * chunks), within = i % (ranks * chunks);
  const int chunk = backward ? chunks - 1 - within / ranks : within / ranks;
  return {backward, chunk * ranks + rank, group * ranks + within % ranks};
}

/// `ahead` forward passes, then forward and backward in turn.
template <class Forward, class Backward>
RankSchedule in_turn(int passes, int ahead, const Forward& forward, const Backward& backward) {
  RankSchedule schedule;
  for (int i = 0; i < passes + ahead; ++i) {
    if (i < passes) schedule.push_back(forward(i));
    if (i >= ahead) schedule.push_back(backward(i - ahead));
  }
  return schedule;
}

}  // namespace

RankSchedule one_f_one_b(int ranks, int micro_batches, int rank) {
  return in_turn(
      micro_batches, std::min(ranks - 1 - rank, micro_batches),
      [&](int i) {
        return StagePass{false, rank, i};
      },
      [&](int i) {
        return StagePass{true, rank, i};
      });
}

RankSchedule interleaved(int ranks, int micro_batches, int chunks, int rank) {
  if (chunks == 1) return one_f_one_b(ranks, micro_batches, rank);
  if (micro_batches % ranks != 0)
    throw UserError(
        fmt::format("an interleaved pipeline of {} ranks takes a multiple of {} micro-batches a step, not {}", ranks,
                    ranks, micro_batches));
  const int passes = micro_batches * chunks;
  const int ahead = 2 * (ranks - 1 - rank) + (chunks - 1) * ranks;
  return in_turn(
      passes, std::min(passes, ahead), [&](int i) { return nth_pass(i, false, ranks, chunks, rank); },
      [&](int i) { return nth_pass(i, true, ranks, chunks, rank); });
}

std::vector<RankSchedule> pipeline_schedule(int ranks, int micro_batches, int chunks) {
  std::vector<RankSchedule> result;
  for (int r = 0; r < ranks; ++r) result.push_back(interleaved(ranks, micro_batches, chunks, r));
  return result;
}

namespace {

class Simulation {
 public:
  Simulation(const std::vector<RankSchedule>& ranks, int stages) : ranks_(ranks), stages_(stages) {}

  ScheduleTime run(double forward, double backward) {
    std::vector<std::size_t> next(ranks_.size(), 0);
    std::vector<double> clock(ranks_.size(), 0);
    std::vector<int> open(ranks_.size(), 0);
    ScheduleTime result;
    result.in_flight.resize(ranks_.size(), 0);
    double work = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < ranks_.size(); ++r)
        while (next[r] < ranks_[r].size()) {
          const StagePass& pass = ranks_[r][next[r]];
          const std::optional<double> ready = when_ready(pass);
          if (!ready) break;
          const double seconds = pass.backward ? backward : forward;
          clock[r] = std::max(clock[r], *ready) + seconds;
          work += seconds;
          if (!done_.emplace(key(pass), clock[r]).second) throw InternalError("a pass of the pipeline is there twice");
          open[r] += pass.backward ? -1 : 1;
          result.in_flight[r] = std::max(result.in_flight[r], open[r]);
          ++next[r];
          moved = true;
        }
    }
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      if (next[r] < ranks_[r].size()) throw InternalError(fmt::format("rank {} of the pipeline waits for ever", r));
    result.seconds = *std::max_element(clock.begin(), clock.end());
    if (result.seconds > 0) result.bubble = 1 - work / (result.seconds * static_cast<double>(ranks_.size()));
    return result;
  }

 private:
  using Key = std::tuple<bool, int, int>;
  static Key key(const StagePass& p) { return {p.backward, p.stage, p.micro_batch}; }

  std::optional<double> time_of(const StagePass& pass) const {
    const auto found = done_.find(key(pass));
    return found == done_.end() ? std::nullopt : std::optional(found->second);
  }

  std::optional<double> when_ready(const StagePass& p) const {
    if (!p.backward) return p.stage == 0 ? 0 : time_of({false, p.stage - 1, p.micro_batch});
    const std::optional<double> own = time_of({false, p.stage, p.micro_batch});
    if (!own || p.stage == stages_ - 1) return own;
    const std::optional<double> after = time_of({true, p.stage + 1, p.micro_batch});
    return after ? std::optional(std::max(*own, *after)) : std::nullopt;
  }

  const std::vector<RankSchedule>& ranks_;
  int stages_;
  std::map<Key, double> done_;
};

}  // namespace

ScheduleTime simulate_schedule(const std::vector<RankSchedule>& ranks, int stages, double forward, double backward) {
  return Simulation(ranks, stages).run(forward, backward);
}

}  // namespace weft
