// The host interpreter: slow, obvious, and the oracle for every device.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// Values of a graph's inputs by name (feeds, states and scalars alike) to values of its outputs by name.
/// Evaluates in f64 inside reductions and contractions of floats, rounding once to the result type. Composites are
/// decomposed. Collectives need more than one rank and throw InternalError.
std::map<std::string, Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& inputs);

/// How many steps interpret_node would take, nearly: elements read and written, products, elements under windows. What
/// evaluates an untrusted graph asks first, for two small operands may make a small result by endless work.
std::int64_t steps_of(const Graph& graph, const Node& node);

/// One node on given operands: what constant folding uses.
std::vector<Tensor> interpret_node(const Node& node, const std::vector<TensorType>& result_types,
                                   const std::vector<Tensor>& operands);

}  // namespace weft
