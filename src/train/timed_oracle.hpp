// A KernelOracle that notes the time its answers take.
#pragma once

#include "src/run/phase_times.hpp"
#include "weft/kernel.hpp"

namespace weft {

class TimedOracle final : public KernelOracle {
 public:
  /// Without `times` it only passes questions on. Both must outlive it.
  TimedOracle(const KernelOracle& oracle, PhaseTimes* times) : oracle_(oracle), times_(times) {}
  const Target& target() const override { return oracle_.target(); }
  KernelAnswer ask(const Graph& body) const override {
    const PhaseTimes::Scope phase(times_, "kernel choice");
    return oracle_.ask(body);
  }

 private:
  const KernelOracle& oracle_;
  PhaseTimes* times_;
};

}  // namespace weft
