// What the families of reference kernels are to each other: one operator bound to types, as a routine over row-major
// operands.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/implementation.hpp"
#include "weft/attributes.hpp"
#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::cpu::reference {

/// The operator of a body, apart from where its operands come from.
struct Problem {
  Op op{};
  Attributes attributes;
  std::vector<TensorType> operands, results;
  Context context;
};

/// Memory of one launch. A result that nobody asked for is nullptr.
struct Buffers {
  std::span<const std::byte* const> operands;
  std::span<std::byte* const> results;
  std::byte* scratch = nullptr;
};

class Routine {
 public:
  virtual ~Routine() = default;
  virtual std::int64_t scratch_bytes() const { return 0; }
  /// The operand over which the result may lie; -1: none.
  virtual int operand_below() const { return -1; }
  virtual void run(const Buffers& buffers) const = 0;
};

/// Each answers nullptr when the operator is not of its family.
std::unique_ptr<Routine> make_gather(const Problem& problem);
std::unique_ptr<Routine> make_scatter(const Problem& problem);
std::unique_ptr<Routine> make_scan(const Problem& problem);
std::unique_ptr<Routine> make_random_bits(const Problem& problem);
std::unique_ptr<Routine> make_reduction(const Problem& problem);

}  // namespace weft::cpu::reference
