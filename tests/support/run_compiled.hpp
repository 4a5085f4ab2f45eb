// Runs a graph through lowering, the CPU device and the executor, as training does: the counterpart of interpret().
#pragma once

#include <map>
#include <string>

#include "graph/lowering/lower.hpp"
#include "src/executor/executor.hpp"
#include "weft/device.hpp"

namespace weft::testing {

/// As interpret(): inputs (feeds, states, scalars) by name to outputs (fetches, new states) by name. One rank.
inline std::map<std::string, Tensor> run_compiled(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                                                  Device& device) {
  LoweringOptions options;
  options.role = "test";
  Program program = lower(graph, device.oracle(), options).program;
  StateTable states(device);
  for (const GraphInput& i : graph.inputs())
    if (i.role == InputRole::state) states.add(i.name, inputs.at(i.name));
  KernelCache cache(device);
  ArenaPool arena(device);
  arena.reserve(program.arena_bytes[0], MemorySpace::host);
  Executor executor(std::move(program), device, states, cache, arena, nullptr);
  for (const GraphInput& i : graph.inputs())
    if (i.role != InputRole::state && executor.has_feed(i.name)) executor.bind(i.name, inputs.at(i.name));
  executor.run(1);
  std::map<std::string, Tensor> outputs;
  for (const GraphOutput& o : graph.outputs())
    outputs[o.name] = o.role == OutputRole::state ? states.read(o.name) : executor.fetch(o.name);
  return outputs;
}

}  // namespace weft::testing
