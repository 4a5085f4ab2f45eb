// Kernels as data: what a kernel computes, who would compute it, at what cost; and the oracle that answers.
//
// A kernel's body is a small Graph (its inputs are the operands, its outputs the results). Lowering forms candidate
// bodies and asks a KernelOracle, which a live device implements and calibration can record; the answer names the
// implementation, the layouts it wants, its scratch and its estimated time, or says, implementation by implementation,
// why nobody takes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/layout.hpp"
#include "weft/target.hpp"

namespace weft {

/// Everything that determines compiled code: equal specs (by `key`) may share one compiled kernel.
struct KernelSpec {
  Graph body;                      ///< inputs and outputs in operand order; layouts on its values
  std::string implementation;      ///< "onednn.convolution", "generated", "reference"
  std::int64_t scratch_bytes = 0;  ///< handed to the kernel as its last argument, 64-byte aligned
  double flops = 0;                ///< multiply-adds count two; contractions only
  double bytes = 0;                ///< operands read once and results written once
  /// Whether a result may lie exactly over an operand of the same layout and element size: the kernel has read an
  /// element of its operands by the time it writes there. The implementation that claims a body says so.
  bool overwrites_operands = false;

  /// Content key: op structure, types, layouts, implementation; names of nodes and inputs do not matter.
  std::string key() const;
};

struct KernelRefusal {
  std::string implementation;
  std::string reason;  ///< printable: "groups > 1 with f16 weights"
};

struct KernelOffer {
  KernelSpec spec;        ///< body's input and output layouts set to what the implementation wants
  double seconds = 0;     ///< estimated time of one launch
  bool measured = false;  ///< false: a marked estimate
};

struct KernelAnswer {
  std::optional<KernelOffer> offer;     ///< absent: nobody takes this body whole
  std::vector<KernelRefusal> refusals;  ///< those asked before the one that took it, in order
};

/// Which layouts are already decided in a request. A body value with a layout set is fixed; one without is free
/// (the implementation picks, and sets it in the offer's spec).
class KernelOracle {
 public:
  virtual ~KernelOracle() = default;
  virtual const Target& target() const = 0;
  /// Pure: the same body and target give the same answer. Thread-safe.
  virtual KernelAnswer ask(const Graph& body) const = 0;
};

}  // namespace weft
