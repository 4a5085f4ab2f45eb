// One sum is split at a time, until none is left.
#include "graph/pipeline/split_sums.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/prune.hpp"
#include "graph/pipeline/pass_nodes.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

struct SplitPlace {
  std::size_t output;
  ValueId kept, moved;  ///< operands of the sum: what stays, and what gets a sum of its own
};

std::optional<SplitPlace> find_split(const Graph& pass, const StageCut& cut) {
  const StagedPass staged = place_in_stages(pass, cut);
  const auto users = pass.users();
  std::map<ValueId, int> output_uses;
  for (const GraphOutput& o : pass.outputs()) ++output_uses[o.value];
  const auto segment_of = [&](ValueId v) {
    const NodeId n = pass.value(v).producer;
    return n == kNone ? kWhereRead : staged.rules.segment[static_cast<std::size_t>(n)];
  };
  for (std::size_t i = 0; i < pass.outputs().size(); ++i) {
    const ValueId added = added_to_state(pass, pass.outputs()[i]);
    const Node* sum = pass.producer(added);
    if (sum == nullptr || sum->op != Op::add || users[static_cast<std::size_t>(added)].size() != 1 ||
        output_uses.count(added) != 0)
      continue;
    const ValueId a = sum->inputs[0], b = sum->inputs[1];
    const int first = segment_of(a), second = segment_of(b);
    if (first < staged.stages - 1 || second < staged.stages - 1 || first == second) continue;
    return first > second ? SplitPlace{i, a, b} : SplitPlace{i, b, a};  // backward, a later segment is an earlier stage
  }
  return std::nullopt;
}

Graph split(const Graph& pass, const SplitPlace& place, const ShareOfSum& share) {
  GraphBuilder b;
  std::vector<ValueId> arguments;
  for (const GraphInput& i : pass.inputs()) arguments.push_back(b.input(i.name, i.role, pass.type(i.value)));
  const ValueId before = b.input(share.name, InputRole::state, share.type);
  // A copy whose outputs are the operands too.
  Graph whole = pass;
  whole.add_output("kept", OutputRole::fetch, place.kept);
  whole.add_output("moved", OutputRole::fetch, place.moved);
  std::vector<ValueId> values = b.inlined(whole, arguments);
  const ValueId moved = values.back(), kept = values[values.size() - 2];
  for (std::size_t i = 0; i < pass.outputs().size(); ++i) {
    const GraphOutput& o = pass.outputs()[i];
    const ValueId state = b.graph().find_input(o.name);
    b.output(o.name, o.role, i == place.output ? b.add(state, kept) : values[i]);
  }
  b.output(share.name, OutputRole::state, b.add(before, moved));
  return pruned(std::move(b).take());
}

}  // namespace

Graph split_sums(const Graph& pass, const StageCut& cut, std::vector<ShareOfSum>& shares) {
  Graph result = pass;
  std::map<std::string, int> counts;
  std::map<std::string, std::string> whole_of;  // a share may be split again
  while (const std::optional<SplitPlace> place = find_split(result, cut)) {
    const std::string sum = result.outputs()[place->output].name;
    const auto share_of = whole_of.find(sum);
    const std::string whole = share_of == whole_of.end() ? sum : share_of->second;
    shares.push_back({fmt::format("{}@{}", whole, ++counts[whole]), whole, result.type(place->moved)});
    whole_of[shares.back().name] = whole;
    result = split(result, *place, shares.back());
  }
  return result;
}

Graph join_sums(const Graph& update, const std::vector<ShareOfSum>& shares) {
  GraphBuilder b;
  std::vector<ValueId> arguments;
  for (const GraphInput& i : update.inputs()) arguments.push_back(b.input(i.name, i.role, update.type(i.value)));
  for (const ShareOfSum& share : shares)
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (update.inputs()[i].name != share.of) continue;
      // A node of its own, which is where the share is: what is brought from there is a value, not a state.
      const ScopedName name(b, share.name);
      const ValueId there = b.unary(Op::stop_gradient, b.input(share.name, InputRole::state, share.type));
      arguments[i] = b.add(arguments[i], there);
    }
  const std::vector<ValueId> values = b.inlined(update, arguments);
  for (std::size_t i = 0; i < values.size(); ++i)
    b.output(update.outputs()[i].name, update.outputs()[i].role, values[i]);
  return std::move(b).take();
}

}  // namespace weft
