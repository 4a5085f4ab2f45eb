// Ranks of equal coordinates along the pipeline run the same segment together.
#include "graph/pipeline/interpret_pipeline.hpp"

#include <cmath>
#include <deque>

#include "graph/partition/interpret_distributed.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Table = PipelineRun::Table;

std::size_t place(int i) { return static_cast<std::size_t>(i); }

class Lockstep1F1B {
 public:
  Lockstep1F1B(const PipelineRun& run, bool guarded)
      : run_(run), guarded_(guarded), stages_(run.pipelines.at(0).scripts.size()) {
    for (std::size_t c = 0; c < stages_.size(); ++c) {
      for (const Pipeline& pipeline : run.pipelines) {
        Rank& rank = stages_[c].ranks.emplace_back();
        rank.sent.resize(pipeline.scripts.at(c).sends.size(), false);
        rank.arrived.resize(pipeline.scripts[c].receives.size(), false);
        check_internal(pipeline.scripts[c].actions.size() == script(c).actions.size(),
                       "interpret_pipeline: ranks of one stage run other segments");
      }
    }
  }

  std::vector<std::vector<Table>> run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t c = 0; c < stages_.size(); ++c)
        while (advance(static_cast<int>(c))) moved = true;
    }
    for (std::size_t c = 0; c < stages_.size(); ++c)
      check_internal(stages_[c].next == script(c).actions.size() || stages_[c].ended,
                     "interpret_pipeline: ranks wait for each other for ever");
    std::vector<std::vector<Table>> result(run_.pipelines.size());
    for (std::size_t r = 0; r < result.size(); ++r)
      for (Stage& stage : stages_) result[r].push_back(std::move(stage.ranks[r].fetches));
    return result;
  }

 private:
  using Slot = std::pair<std::string, int>;
  struct Rank {
    int posted = 0, started = 0;
    std::vector<bool> sent, arrived;
    std::map<Slot, Tensor> slots;
    Table fetches;
  };
  struct Stage {
    std::size_t next = 0;
    bool ended = false;
    std::vector<Rank>
        ranks;  ///< by inner rank: their graphs, and so what they exchange, may differ where parts are uneven
  };

  const RankScript& script(std::size_t c, std::size_t inner = 0) const { return run_.pipelines[inner].scripts[c]; }

  bool advance(int coordinate) {
    const std::size_t c = place(coordinate);
    Stage& stage = stages_[c];
    if (stage.ended || stage.next == script(c).actions.size()) return false;
    for (std::size_t r = 0; r < stage.ranks.size(); ++r) {
      const PipelineAction& action = script(c, r).actions[stage.next];
      stage.ranks[r].posted = std::max(stage.ranks[r].posted, action.posted);
    }
    if (run_.delivery == Delivery::early) deliver_all();
    for (std::size_t r = 0; r < stage.ranks.size(); ++r)
      if (!is_ready(coordinate, r, script(c, r).actions[stage.next])) return false;
    const PipelineAction& action = script(c).actions[stage.next];
    if (action.updates && guarded_ && !loss_is_finite(c)) return stage.ended = true;
    if (action.segment != PipelineAction::kNone) run_segment(c, action);
    for (std::size_t r = 0; r < stage.ranks.size(); ++r)
      stage.ranks[r].started = std::max(stage.ranks[r].started, script(c, r).actions[stage.next].sends_to);
    ++stage.next;
    return true;
  }

  bool is_ready(int coordinate, std::size_t r, const PipelineAction& action) {
    const Rank& rank = stages_[place(coordinate)].ranks[r];
    for (const int need : action.needs)
      if (!rank.arrived[place(need)] && !deliver_to(coordinate, r, need)) return false;
    for (const int send : action.reuses)
      if (!rank.sent[place(send)] && !deliver_from(coordinate, r, send)) return false;
    return true;
  }

  bool loss_is_finite(std::size_t c) const {
    return std::isfinite(stages_[c].ranks[0].slots.at({script(c).guard, 0}).as_double(0));
  }

  void run_segment(std::size_t c, const PipelineAction& action) {
    Stage& stage = stages_[c];
    std::vector<Graph> graphs;
    std::vector<Table> inputs;
    for (std::size_t r = 0; r < run_.pipelines.size(); ++r) {
      graphs.push_back(run_.pipelines[r].segments[place(action.segment)].graph);
      const Table feeds = run_.feeds(static_cast<int>(r), action.micro_batch);
      Table& table = inputs.emplace_back();
      for (const GraphInput& i : graphs.back().inputs()) {
        if (i.role == InputRole::state)
          table[i.name] = run_.states[r][c].at(i.name);
        else if (const auto slot = slot_of(c, r, i.name, action.micro_batch); slot.second >= 0)
          table[i.name] = stage.ranks[r].slots.at(slot);
        else
          table[i.name] = feeds.at(i.name);
      }
    }
    const auto outputs = interpret_distributed(run_.inner, graphs, inputs);
    for (std::size_t r = 0; r < graphs.size(); ++r)
      for (const GraphOutput& o : graphs[r].outputs()) {
        const Tensor& value = outputs[r].at(o.name);
        if (o.role == OutputRole::state)
          run_.states[r][c].at(o.name) = value;
        else if (const auto slot = slot_of(c, r, o.name, action.micro_batch); slot.second >= 0)
          stage.ranks[r].slots[slot] = value;
        else
          stage.ranks[r].fetches[o.name] = value;
      }
  }

  Slot slot_of(std::size_t c, std::size_t inner, const std::string& name, int micro_batch) const {
    for (const PipelineBuffer& b : script(c, inner).buffers)
      if (b.name == name) return {name, std::max(micro_batch, 0) % b.slots};
    return {name, -1};
  }

  /// The receive that takes this send, or the send that it takes: the same number among those of the pair.
  static int partner(const std::vector<Transfer>& mine, int number, int peer, const std::vector<Transfer>& theirs,
                     int me) {
    int nth = 0;
    for (int i = 0; i < number; ++i) nth += mine[place(i)].peer == peer ? 1 : 0;
    for (int i = 0; i < static_cast<int>(theirs.size()); ++i)
      if (theirs[place(i)].peer == me && nth-- == 0) return i;
    throw InternalError("interpret_pipeline: a message without a partner");
  }

  bool deliver_to(int coordinate, std::size_t r, int receive) {
    const auto& receives = script(place(coordinate), r).receives;
    const int peer = receives[place(receive)].peer;
    const int send = partner(receives, receive, peer, script(place(peer), r).sends, coordinate);
    return deliver(r, peer, send, coordinate, receive);
  }

  bool deliver_from(int coordinate, std::size_t r, int send) {
    const auto& sends = script(place(coordinate), r).sends;
    const int peer = sends[place(send)].peer;
    const int receive = partner(sends, send, peer, script(place(peer), r).receives, coordinate);
    return deliver(r, coordinate, send, peer, receive);
  }

  void deliver_all() {
    for (int c = 0; c < static_cast<int>(stages_.size()); ++c)
      for (std::size_t r = 0; r < run_.pipelines.size(); ++r)
        for (int s = 0; s < stages_[place(c)].ranks[r].started; ++s)
          if (!stages_[place(c)].ranks[r].sent[place(s)]) deliver_from(c, r, s);
  }

  bool deliver(std::size_t r, int from, int send, int to, int receive) {
    Rank &sender = stages_[place(from)].ranks[r], &receiver = stages_[place(to)].ranks[r];
    if (send >= sender.started || receive >= receiver.posted) return false;
    const Transfer &out = script(place(from), r).sends[place(send)],
                   &in = script(place(to), r).receives[place(receive)];
    check_internal(out.name == in.name, "interpret_pipeline: '" + out.name + "' meets '" + in.name + "'");
    if (out.buffer < 0)
      run_.states[r][place(to)].at(in.name) = run_.states[r][place(from)].at(out.name);
    else
      receiver.slots[{in.name, in.slot}] = sender.slots.at({out.name, out.slot});
    return sender.sent[place(send)] = receiver.arrived[place(receive)] = true;
  }

  const PipelineRun& run_;
  bool guarded_;
  std::vector<Stage> stages_;
};

}  // namespace

std::vector<std::vector<Table>> interpret_pipeline(const PipelineRun& run, bool guarded) {
  return Lockstep1F1B(run, guarded).run();
}

}  // namespace weft
