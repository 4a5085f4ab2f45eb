// In which order a rank runs the forward and backward passes of its stages: pure functions of the numbers of ranks,
// micro-batches and chunks.
//
// Stage k of ranks * chunks lies on rank k mod `ranks`: with several chunks a rank has several stages, further apart.
// With forward and backward work F and B a rank and micro-batch, equal on all, a step takes m (F + B) and a bubble of
// (p - 1) (F + B) / v in which a rank waits: the fraction (p - 1) / (v m + p - 1) of it, (p - 1) / (m + p - 1) with one
// chunk (D. Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM", 2021,
// section 2.2, where the bubble is given over m (F + B) instead).
#pragma once

#include <vector>

namespace weft {

/// One pass of one micro-batch through one stage.
struct StagePass {
  bool backward = false;
  int stage = 0;
  int micro_batch = 0;
  bool operator==(const StagePass&) const = default;
};
using RankSchedule = std::vector<StagePass>;

/// One stage a rank: `ranks - 1 - rank` forward passes, then forward and backward in turn, then what is left backward.
/// At most ranks - rank micro-batches are between their forward and their backward pass.
RankSchedule one_f_one_b(int ranks, int micro_batches, int rank);

/// `chunks` stages a rank, micro-batches in groups of `ranks`: a group goes through one chunk after the other. Throws
/// UserError unless `micro_batches` is a multiple of `ranks`, or there is one chunk (then it is one_f_one_b).
RankSchedule interleaved(int ranks, int micro_batches, int chunks, int rank);

/// All ranks' schedules.
std::vector<RankSchedule> pipeline_schedule(int ranks, int micro_batches, int chunks);

/// What a step takes when a forward pass of a stage takes `forward` and a backward pass `backward`, and messages
/// nothing.
struct ScheduleTime {
  double seconds = 0;
  double bubble = 0;           ///< the part of it that the average rank waits
  std::vector<int> in_flight;  ///< by rank: passes of its stages that wait for their backward pass at once, at most
};
/// Throws InternalError where ranks wait for each other for ever, or a pass is missing or there twice.
ScheduleTime simulate_schedule(const std::vector<RankSchedule>& ranks, int stages, double forward, double backward);

}  // namespace weft
