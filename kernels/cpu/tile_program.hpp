// Register programs bound to a nest: evaluation of one tile at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/nest.hpp"
#include "kernels/cpu/tile_graph.hpp"

namespace weft::cpu {

/// Elements of a tile at most.
inline constexpr std::int64_t kTile = 512;

class TileProgram {
 public:
  /// An output of a pointwise kernel.
  struct Output {
    int root = 0;              ///< index into the graph's roots
    std::size_t argument = 0;  ///< among the kernel's arguments
    DType type = DType::f32;
    Walk walk;
  };

  /// Private memory of one thread; made once, reused by every launch.
  class Scratch {
   public:
    explicit Scratch(const TileProgram& program);
    /// Forgets what was loaded: arguments may hold other values now.
    void begin();

   private:
    friend class TileProgram;
    struct Free {
      void operator()(std::byte* p) const;
    };
    struct Loaded {
      std::int64_t phase = -1, count = 0;
    };
    std::unique_ptr<std::byte, Free> memory_;
    std::vector<const std::byte*> pointers_;  ///< by register
    std::vector<Loaded> loaded_;              ///< by operand
  };

  TileProgram(const TileGraph& graph, std::vector<Walk> operands, std::vector<Walk> iotas, std::vector<Output> outputs,
              const TileOps& ops);

  /// Evaluates positions [at, at + count), count <= kTile, and writes the outputs.
  void evaluate(Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t at, std::int64_t count) const;
  /// A root's values after `evaluate`, in its compute type.
  const void* root(const Scratch& scratch, std::size_t index) const {
    return scratch.pointers_[static_cast<std::size_t>(roots_[index])];
  }
  DType root_type(std::size_t index) const;

 private:
  struct Load {
    std::size_t argument = 0;
    DType type = DType::f32;
    Walk walk;
    int reg = -1;
    TileFn widen = nullptr;  ///< for the 16-bit floats
  };
  struct Count {
    Walk walk;
    int reg = -1;
    TileFn convert = nullptr;  ///< from i64
  };

  std::byte* slot(const Scratch& scratch, int reg) const;
  void plan_slots();
  void plan_outputs();

  std::vector<TileRegister> registers_;
  std::vector<TileStep> steps_;
  std::vector<Load> loads_;
  std::vector<Count> counts_;
  std::vector<Output> outputs_;
  std::vector<TileFn> narrow_;  ///< by output: from compute type to the 16-bit floats, or nullptr
  std::vector<int> direct_;     ///< by step: the output that it may write in place, or -1
  std::vector<int> roots_;
  std::vector<int> slots_;  ///< by register: which slot holds it, or -1
  int slot_count_ = 0;
};

}  // namespace weft::cpu
