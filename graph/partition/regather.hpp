// Parameters in parts (ZeRO's third stage): gathered for their use, and again for their next one.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// Gathered parameters that are kept for another use while others are gathered, and how many are gathered ahead of the
/// first use of one.
inline constexpr int kKeptGathers = 4, kGathersAhead = 2;

/// Partitioning gathers a state once for all its readers, and it would live from the forward to the backward pass. Here
/// one that was not read while `kKeptGathers` others were is gathered again for its next readers, with what is only
/// another form of it (its transpose, its 16-bit copy). Gathers stand in the order of their first uses, each before the
/// first use of that `kGathersAhead` before, so that it can travel meanwhile. Where parameters are read in turns so
/// often that most gathers would be repeated many times (a network unrolled in time), more are kept.
Graph regather(const Graph& graph);

}  // namespace weft
