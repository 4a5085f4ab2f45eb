// Wishes as one small all-reduce that overlaps the step.
#include "src/train/step_agreement.hpp"

#include <fmt/format.h>

namespace weft {

std::string reason_of(const StopDecision& stop) {
  switch (stop.kind) {
    case StopKind::none: return "";
    case StopKind::time: return "the job's time_limit is nearly over";
    case StopKind::graceful: return fmt::format("a stop signal on rank {}", stop.rank);
    case StopKind::terminate: return fmt::format("SIGTERM on rank {}", stop.rank);
  }
  return "";
}

void StepAgreement::propose(StopKind stop, bool save, std::int64_t step, bool writing) {
  wishes_ = {encode_wish(stop, world_.rank()), save ? 1u : 0u, writing ? 1u : 0u};
  if (world_.size() == 1) return;
  auto* data = reinterpret_cast<std::byte*>(wishes_.data());
  request_ = world_.start_all_reduce(data, data, std::ssize(wishes_), DType::u32, ReduceKind::max,
                                     {"agreeing whether to go on", step, -1});
}

StepDecision StepAgreement::decide() {
  if (request_) request_->wait();
  request_.reset();
  return {decode_wish(wishes_[0]), wishes_[1] != 0, wishes_[2] != 0};
}

}  // namespace weft
