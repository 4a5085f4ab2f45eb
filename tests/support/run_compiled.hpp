// Runs a graph through lowering, a device and the executor, as training does: the counterpart of interpret().
#pragma once

#include <cstring>
#include <map>
#include <string>

#include "graph/lowering/lower.hpp"
#include "src/executor/executor.hpp"
#include "weft/device.hpp"

namespace weft::testing {

/// A graph compiled for one device, to be run step after step. One rank.
class CompiledGraph {
 public:
  CompiledGraph(const Graph& graph, const std::map<std::string, Tensor>& initial_states, Device& device,
                LoweringOptions options = {})
      : graph_(graph),
        lowered_(lower(graph, device.oracle(), named(std::move(options)))),
        states_(device),
        cache_(device),
        arena_(device) {
    for (const GraphInput& i : graph_.inputs())
      if (i.role == InputRole::state) states_.add(i.name, initial_states.at(i.name));
    arena_.reserve(lowered_.program.arena_bytes[0], MemorySpace::host);
    executor_.emplace(lowered_.program, device, states_, cache_, arena_, nullptr);
  }

  /// What the arena holds between runs is nobody's: the next run must not depend on it.
  void fill_arena(int byte) {
    if (lowered_.program.arena_bytes[0] > 0)
      std::memset(arena_.data(MemorySpace::host), byte, static_cast<std::size_t>(lowered_.program.arena_bytes[0]));
  }

  /// Feeds and scalars by name (others are not looked at) to fetches and new states by name.
  std::map<std::string, Tensor> run(const std::map<std::string, Tensor>& inputs, std::int64_t step = 1) {
    for (const GraphInput& i : graph_.inputs())
      if (i.role != InputRole::state && executor_->has_feed(i.name)) executor_->bind(i.name, inputs.at(i.name));
    executor_->run(step);
    std::map<std::string, Tensor> outputs;
    for (const GraphOutput& o : graph_.outputs())
      outputs[o.name] = o.role == OutputRole::state ? states_.read(o.name) : executor_->fetch(o.name);
    return outputs;
  }

  const Lowered& lowered() const { return lowered_; }

 private:
  static LoweringOptions named(LoweringOptions options) {
    options.role = "test";
    return options;
  }

  Graph graph_;
  Lowered lowered_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  std::optional<Executor> executor_;
};

/// As interpret(): inputs (feeds, states, scalars) by name to outputs (fetches, new states) by name.
inline std::map<std::string, Tensor> run_compiled(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                                                  Device& device, LoweringOptions options = {}) {
  return CompiledGraph(graph, inputs, device, std::move(options)).run(inputs);
}

}  // namespace weft::testing
