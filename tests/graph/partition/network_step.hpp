// Training steps of built-in networks, with values for their inputs.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tests/graph/partition/lockstep.hpp"

namespace weft::test {

struct NetworkStep {
  Graph graph;
  Table inputs;
};

/// The step that training would lower: attention recognised (or not), built for SGD with clipping, simplified. Targets
/// are classes of shape [batch] + target. `optimizer`: "sgd" has momentum 0.9, others their defaults.
NetworkStep network_step(const std::string& name, const std::map<std::string, std::string>& settings,
                         std::int64_t batch, const Shape& target, std::int64_t classes, bool attention = true,
                         const std::string& optimizer = "sgd", double clip_norm = 1.0);

/// Two layers, 4 heads, 13 words, dropout.
NetworkStep tiny_gpt2_step(bool attention, const std::string& optimizer = "sgd", double clip_norm = 1.0);

}  // namespace weft::test
