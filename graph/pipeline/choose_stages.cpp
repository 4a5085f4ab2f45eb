// The dynamic programme over blocks: the stretches of a pass between the first readers of two states.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <set>

#include "graph/partition/costs.hpp"
#include "graph/pipeline/pass_nodes.hpp"
#include "graph/pipeline/stages.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

double bytes_of(const TensorType& type) {
  return static_cast<double>(type.shape.elements()) * static_cast<double>(size_of(type.dtype));
}

/// The state before whose first reader each block begins.
std::vector<std::string> first_states(const Graph& pass, const PassNodes& nodes) {
  std::vector<std::string> result;
  std::set<std::string> seen;
  for (NodeId n = 0; n < static_cast<NodeId>(pass.nodes().size()); ++n) {
    if (!nodes.is_forward(n) || nodes.is_cheap(n)) continue;
    bool begins = false;
    for (const std::string& state : nodes.states_of(pass.node(n))) {
      if (pass.type(pass.find_input(state)).shape.rank() == 0 || !seen.insert(state).second || begins) continue;
      begins = true;
      result.push_back(state);
    }
  }
  return result;
}

/// Sums of all that lies before each block.
struct Blocks {
  std::vector<std::string> states;          ///< by block
  std::vector<double> work, held, stashed;  ///< seconds; bytes of states; bytes that a micro-batch leaves behind
  std::vector<double> entered;              ///< bytes that a micro-batch brings into the block, not a sum

  explicit Blocks(const Graph& pass) {
    const PassNodes nodes(pass);
    states = first_states(pass, nodes);
    const std::size_t n = std::max<std::size_t>(states.size(), 1);
    work.resize(n + 1, 0), held = stashed = work, entered.resize(n + 1, 0);
    if (states.size() < 2) return;
    const StagedPass staged = place_in_stages(pass, StageCut(states.begin() + 1, states.end()));
    const auto block_of = [&](int segment) {
      return static_cast<std::size_t>(std::min(segment, 2 * (staged.stages - 1) - segment));
    };
    std::vector<std::set<std::size_t>> forward(pass.values().size()), backward = forward;
    for (std::size_t k = 0; k < pass.nodes().size(); ++k) {
      const int segment = staged.rules.segment[k];
      if (segment == kWhereRead) continue;
      const Node& node = pass.nodes()[k];
      const std::size_t block = block_of(segment);
      add_work(pass, node, block);
      const bool is_forward = nodes.is_forward(static_cast<NodeId>(k));
      for (const ValueId v : node.inputs) (is_forward ? forward : backward)[static_cast<std::size_t>(v)].insert(block);
      if (is_forward) add_forward_results(node, block, forward);
    }
    for (std::size_t v = 0; v < forward.size(); ++v) add_value(pass, static_cast<ValueId>(v), forward[v], backward[v]);
    for (const auto& [state, home] : staged.homes)
      if (const ValueId v = pass.find_input(state); v != kNone && !state.starts_with(kAccumulated))
        held[static_cast<std::size_t>(home) + 1] += bytes_of(pass.type(v));
    for (std::size_t b = 0; b < n; ++b) {
      work[b + 1] += work[b], held[b + 1] += held[b], stashed[b + 1] += stashed[b];
      if (b > 0) entered[b] += entered[b - 1];
    }
  }

 private:
  void add_work(const Graph& pass, const Node& node, std::size_t block) {
    const CostRates rates;
    double touched = 0;
    for (const ValueId v : node.outputs) touched += bytes_of(pass.type(v));
    work[block + 1] += flops_of(pass, node) / rates.flops + touched / rates.memory;
  }

  static void add_forward_results(const Node& node, std::size_t block, std::vector<std::set<std::size_t>>& forward) {
    for (const ValueId v : node.outputs) forward[static_cast<std::size_t>(v)].insert(block);
  }

  void add_value(const Graph& pass, ValueId v, const std::set<std::size_t>& forward,
                 const std::set<std::size_t>& backward) {
    if (pass.value(v).producer == kNone || forward.empty()) return;
    const double bytes = bytes_of(pass.type(v));
    for (const std::size_t b : backward)
      if (forward.count(b) != 0) stashed[b + 1] += bytes;
    entered[*forward.begin() + 1] += bytes;  // until its last reader
    if (*forward.rbegin() + 1 < entered.size()) entered[*forward.rbegin() + 1] -= bytes;
  }
};

/// The least of the largest costs of contiguous parts, and where parts begin; nothing where no part may be.
std::optional<std::vector<std::size_t>> best_parts(
    std::size_t blocks, std::size_t parts,
    const std::function<double(std::size_t part, std::size_t from, std::size_t to)>& cost) {
  std::vector<std::vector<double>> best(parts + 1, std::vector<double>(blocks + 1, kNever));
  std::vector<std::vector<std::size_t>> begin(parts + 1, std::vector<std::size_t>(blocks + 1, 0));
  best[0][0] = 0;
  for (std::size_t p = 1; p <= parts; ++p)
    for (std::size_t to = p; to <= blocks; ++to)
      for (std::size_t from = p - 1; from < to; ++from) {
        if (best[p - 1][from] == kNever) continue;
        const double worst = std::max(best[p - 1][from], cost(p - 1, from, to));
        if (worst >= best[p][to]) continue;
        best[p][to] = worst;
        begin[p][to] = from;
      }
  if (best[parts][blocks] == kNever) return std::nullopt;
  std::vector<std::size_t> result(parts);
  for (std::size_t p = parts, to = blocks; p > 0; --p) result[p - 1] = to = begin[p][to];
  return result;
}

}  // namespace

StageCut choose_stages(const Graph& pass, const StageLimits& limits) {
  const Blocks blocks(pass);
  const auto stages = static_cast<std::size_t>(limits.ranks * limits.chunks);
  const std::size_t n = blocks.states.size();
  if (n < stages)
    throw UserError(
        fmt::format("a pipeline of {} stages needs as many places where the model reads another parameter, and it has "
                    "{}: take fewer ranks along the axis 'pipeline', or fewer chunks a rank",
                    stages, n));
  const CostRates rates;
  const auto in_flight = [&](std::size_t stage) {
    const int rank = static_cast<int>(stage) % limits.ranks;
    const int passes = limits.chunks == 1 ? limits.ranks - rank
                                          : 2 * (limits.ranks - 1 - rank) + (limits.chunks - 1) * limits.ranks + 1;
    return static_cast<double>(std::min(limits.micro_batches, (passes + limits.chunks - 1) / limits.chunks));
  };
  const auto bytes = [&](std::size_t stage, std::size_t from, std::size_t to) {
    return ((blocks.held[to] - blocks.held[from]) * limits.state_bytes_factor +
            (blocks.stashed[to] - blocks.stashed[from]) * in_flight(stage)) *
           limits.chunks;
  };
  const auto seconds = [&](std::size_t stage, std::size_t from, std::size_t to) {
    if (limits.bytes > 0 && bytes(stage, from, to) > static_cast<double>(limits.bytes)) return kNever;
    return blocks.work[to] - blocks.work[from] + (from > 0 ? 2 * blocks.entered[from] / rates.network : 0);
  };
  const auto best = best_parts(n, stages, seconds);
  if (!best) {
    const auto least = *best_parts(n, stages, bytes);
    double most = 0;
    for (std::size_t s = 0; s < stages; ++s)
      most = std::max(most, bytes(s, least[s], s + 1 < stages ? least[s + 1] : n));
    throw UserError(
        fmt::format("no cut of the model into {} stages fits {} bytes a rank: the best needs about {:.0f}, states and "
                    "what {} micro-batches leave behind; take more ranks or smaller micro-batches",
                    stages, limits.bytes, most, limits.micro_batches));
  }
  StageCut cut;
  for (std::size_t s = 1; s < stages; ++s) cut.push_back(blocks.states[(*best)[s]]);
  return cut;
}

}  // namespace weft
