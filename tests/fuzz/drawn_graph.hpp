// Graphs drawn at random, with values for their inputs.
//
// A graph grows in steps: each takes values made before, recent ones more often, and adds what networks are made of: a
// pointwise operator, a broadcast, a reduction, a normalisation, a contraction with its epilogue, a movement, a gather
// or scatter. Then gradients and updates of states are appended, and some values are asked for.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::fuzz {

struct Case {
  Graph graph;
  std::map<std::string, Tensor> inputs;  ///< feeds, states and scalars
};

/// The same seed, the same case.
Case drawn_case(unsigned seed);

}  // namespace weft::fuzz
