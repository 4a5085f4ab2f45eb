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
      const RankScript& script = run.pipelines[0].scripts[c];
      stages_[c].sent.resize(script.sends.size(), false);
      stages_[c].arrived.resize(script.receives.size(), false);
      stages_[c].slots.resize(run.pipelines.size());
      stages_[c].fetches.resize(run.pipelines.size());
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
      for (Stage& stage : stages_) result[r].push_back(std::move(stage.fetches[r]));
    return result;
  }

 private:
  using Slot = std::pair<std::string, int>;
  struct Stage {
    std::size_t next = 0;
    int posted = 0, started = 0;
    bool ended = false;
    std::vector<bool> sent, arrived;
    std::vector<std::map<Slot, Tensor>> slots;  ///< by inner rank
    std::vector<Table> fetches;
  };

  const RankScript& script(std::size_t c, std::size_t inner = 0) const { return run_.pipelines[inner].scripts[c]; }

  bool advance(int coordinate) {
    const std::size_t c = place(coordinate);
    Stage& stage = stages_[c];
    if (stage.ended || stage.next == script(c).actions.size()) return false;
    const PipelineAction& action = script(c).actions[stage.next];
    stage.posted = std::max(stage.posted, action.posted);
    if (run_.delivery == Delivery::early) deliver_all();
    for (const int need : action.needs)
      if (!stage.arrived[place(need)] && !deliver_to(coordinate, need)) return false;
    for (const int send : action.reuses)
      if (!stage.sent[place(send)] && !deliver_from(coordinate, send)) return false;
    if (action.updates && guarded_ && !loss_is_finite(c)) return stage.ended = true;
    if (action.segment != PipelineAction::kNone) run_segment(c, action);
    stage.started = std::max(stage.started, action.sends_to);
    ++stage.next;
    return true;
  }

  bool loss_is_finite(std::size_t c) const {
    return std::isfinite(stages_[c].slots[0].at({script(c).guard, 0}).as_double(0));
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
          table[i.name] = stage.slots[r].at(slot);
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
          stage.slots[r][slot] = value;
        else
          stage.fetches[r][o.name] = value;
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

  bool deliver_to(int coordinate, int receive) {
    const int peer = script(place(coordinate)).receives[place(receive)].peer;
    const int send = partner(script(place(coordinate)).receives, receive, peer, script(place(peer)).sends, coordinate);
    return deliver(peer, send, coordinate, receive);
  }

  bool deliver_from(int coordinate, int send) {
    const int peer = script(place(coordinate)).sends[place(send)].peer;
    const int receive = partner(script(place(coordinate)).sends, send, peer, script(place(peer)).receives, coordinate);
    return deliver(coordinate, send, peer, receive);
  }

  void deliver_all() {
    for (int c = 0; c < static_cast<int>(stages_.size()); ++c)
      for (int s = 0; s < stages_[place(c)].started; ++s)
        if (!stages_[place(c)].sent[place(s)]) deliver_from(c, s);
  }

  bool deliver(int from, int send, int to, int receive) {
    Stage &sender = stages_[place(from)], &receiver = stages_[place(to)];
    if (send >= sender.started || receive >= receiver.posted) return false;
    for (std::size_t r = 0; r < run_.pipelines.size(); ++r) {
      const Transfer &out = script(place(from), r).sends[place(send)], &in = script(place(to), r).receives[place(receive)];
      check_internal(out.name == in.name, "interpret_pipeline: '" + out.name + "' meets '" + in.name + "'");
      if (out.buffer < 0)
        run_.states[r][place(to)].at(in.name) = run_.states[r][place(from)].at(out.name);
      else
        receiver.slots[r][{in.name, in.slot}] = sender.slots[r].at({out.name, out.slot});
    }
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
