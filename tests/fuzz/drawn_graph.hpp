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
  bool find_attention = false;           ///< what runs on devices is what with_attention makes of the graph
  DType compute = DType::f32;            ///< what the precision pass narrows to
};

/// The same seed, the same case. From this seed on, attention, pieces of networks and narrowed steps are drawn too;
/// those before stay what they were, for some of them found something.
inline constexpr unsigned kFirstWithNetworks = 5'000'000;
Case drawn_case(unsigned seed);

}  // namespace weft::fuzz
