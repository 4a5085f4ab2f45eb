// StepAgreement: once a step, all ranks learn whether one of them wants to stop or to save.
//
// The exchange starts before the step and is read after it, so that it costs no waiting.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "src/faults/stop_agreement.hpp"
#include "weft/communicator.hpp"

namespace weft {

struct StepDecision {
  StopDecision stop;
  bool save = false;
  bool writing = false;  ///< some rank's part of a checkpoint was not yet written
};

/// "a stop signal on rank 2".
std::string reason_of(const StopDecision& stop);

class StepAgreement {
 public:
  explicit StepAgreement(Communicator& world) : world_(world) {}
  /// Collective. What this rank wishes now, and whether it still writes a checkpoint.
  void propose(StopKind stop, bool save, std::int64_t step, bool writing = false);
  /// Collective. The same on all ranks: what was proposed before this step.
  StepDecision decide();

 private:
  Communicator& world_;
  std::array<std::uint32_t, 3> wishes_{};  ///< stop, save, writing
  std::unique_ptr<Request> request_;
};

}  // namespace weft
