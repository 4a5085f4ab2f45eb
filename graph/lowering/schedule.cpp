// The list scheduler: a queue of ready units, whose priorities follow what runs.
#include "graph/lowering/schedule.hpp"

#include <algorithm>
#include <deque>
#include <queue>
#include <set>
#include <tuple>

#include "graph/lowering/dependencies.hpp"
#include "graph/lowering/liveness.hpp"
#include "graph/lowering/reuse.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

/// Collectives in flight before those that wait for the oldest are worth its wait: their memory ends with them.
constexpr int kInFlight = 4;

/// Of those whose operand is memory of its own, which their wait frees: so many fly, whoever reads their results.
constexpr int kSent = 2;

/// States gathered from their parts that are alive before another one is gathered ahead of its use.
constexpr int kGathered = 3;

/// Bytes; what is smaller may be made early.
constexpr std::int64_t kLarge = 16 << 10;

void append_state_copies(const LoweredGraph& graph, std::vector<Step>& steps) {
  for (std::size_t i = 0; i < graph.state_updates.size(); ++i) {
    const auto& [name, value] = graph.state_updates[i];
    const LoweredTensor& root = graph.tensor(graph.root(value));
    if (root.kind != BufferKind::state || root.name != name)
      steps.push_back({Step::Kind::copy_state, -1, static_cast<int>(i)});
  }
}

/// Readers of each piece of arena memory that have not run yet.
class Uses {
 public:
  explicit Uses(const LoweredGraph& graph)
      : graph_(graph), readers_(graph.tensors.size()), left_(graph.tensors.size()) {
    for (int u = 0; u < static_cast<int>(graph.units.size()); ++u)
      for (const int r : roots_read(u)) readers_[index(r)].push_back(u);
    for (std::size_t r = 0; r < left_.size(); ++r) left_[r] = static_cast<int>(readers_[r].size());
    for (const auto& [name, t] : graph.fetches) ++left_[index(graph.root(t))];
    for (const auto& [name, t] : graph.state_updates) ++left_[index(graph.root(t))];
  }

  /// Arena bytes that running `u` would add, less those that nobody needs after it.
  std::int64_t net_bytes(int u) const {
    std::int64_t net = 0;
    std::vector<int> made;
    for (const int t : graph_.unit(u).outputs) {
      const int root = graph_.root(t);
      if (graph_.tensor(root).kind != BufferKind::arena) continue;
      if (std::find(made.begin(), made.end(), root) != made.end()) continue;
      made.push_back(root);
      net += graph_.tensor(t).bytes();
    }
    for (const int r : roots_read(u))
      if (graph_.tensor(r).kind == BufferKind::arena && left_[index(r)] == 1 &&
          std::find(made.begin(), made.end(), r) == made.end())
        net -= graph_.tensor(r).bytes();
    return net;
  }

  /// Takes `u` for run; returns the units that are now the only readers of something.
  std::vector<int> run(int u) {
    std::vector<int> last;
    for (const int r : roots_read(u))
      if (--left_[index(r)] == 1) last.insert(last.end(), readers_[index(r)].begin(), readers_[index(r)].end());
    return last;
  }

  bool is_read_again(int root) const { return left_[index(root)] > 0; }

 private:
  std::vector<int> roots_read(int u) const {
    std::vector<int> roots;
    for (const int t : graph_.unit(u).inputs) roots.push_back(graph_.root(t));
    std::sort(roots.begin(), roots.end());
    roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
    return roots;
  }

  const LoweredGraph& graph_;
  std::vector<std::vector<int>> readers_;  ///< per root
  std::vector<int> left_;                  ///< per root
};

class Scheduler {
 public:
  explicit Scheduler(const LoweredGraph& graph)
      : graph_(graph),
        dependencies_(graph),
        uses_(graph),
        missing_(graph.units.size()),
        late_missing_(graph.units.size(), 0),
        key_(graph.units.size()),
        ready_(graph.units.size(), 0),
        pending_(graph.units.size(), 0),
        inner_(graph.units.size(), 0),
        late_(graph.units.size(), 0) {
    for (int u = 0; u < static_cast<int>(graph.units.size()); ++u)
      late_[index(u)] = graph.unit(u).late || is_part_of_state(u);
  }

  std::vector<Step> run() {
    find_inner_collectives();
    const auto units = static_cast<int>(graph_.units.size());
    for (int u = 0; u < units; ++u) {
      missing_[index(u)] = dependencies_.before(u).size();
      for (const int maker : dependencies_.before(u))
        if (late_[index(maker)] != 0) ++late_missing_[index(u)];
    }
    for (int u = 0; u < units; ++u)
      if (missing_[index(u)] == 0 && !is_held(u)) make_ready(u);
    std::size_t done = 0;
    for (; !queue_.empty(); ++done) {
      const int u = std::get<3>(*queue_.begin());
      queue_.erase(queue_.begin());
      ready_[index(u)] = 0;
      issue(u);
      for (const int d : dependencies_.after(u)) count_down(d, u);
    }
    check_internal(done == graph_.units.size(), "lowering: the schedule has a cycle");
    for (const int c : dependencies_.collectives()) wait_for(c);
    append_state_copies(graph_, steps_);
    return std::move(steps_);
  }

 private:
  using Key = std::tuple<int, int, int, int>;  ///< urgency, whether memory grows, rank, unit

  /// A large part of a state (a rank's part of a parameter, for its update): it could be made at any time.
  bool is_part_of_state(int u) const {
    const LoweredUnit& unit = graph_.unit(u);
    std::int64_t read = 0;
    for (const int t : unit.inputs) {
      const LoweredTensor& root = graph_.tensor(graph_.root(t));
      if (root.kind == BufferKind::state) read = std::max(read, root.bytes());
      if (root.kind == BufferKind::arena && root.bytes() >= kLarge) return false;
    }
    const std::int64_t made = graph_.tensor(unit.outputs.at(0)).bytes();
    return unit.kind == UnitKind::kernel && made >= kLarge && made < read;
  }

  /// A late unit of which no reader waits for late units alone.
  bool is_held(int u) const {
    const std::vector<int>& after = dependencies_.after(u);
    return late_[index(u)] != 0 && !after.empty() && std::none_of(after.begin(), after.end(), [&](int d) {
             return missing_[index(d)] == late_missing_[index(d)];
           });
  }

  /// `maker`, on which `u` depends, has run: `u` may be ready now, or what it still waits for is no longer held.
  void count_down(int u, int maker) {
    if (late_[index(maker)] != 0) --late_missing_[index(u)];
    if (--missing_[index(u)] == 0) {
      if (!is_held(u)) make_ready(u);
    } else if (missing_[index(u)] == late_missing_[index(u)]) {
      for (const int m : dependencies_.before(u))
        if (late_[index(m)] != 0 && missing_[index(m)] == 0 && ready_[index(m)] == 0 && !has_run_[index(m)])
          make_ready(m);
    }
  }

  /// Collectives on whose results another one depends.
  void find_inner_collectives() {
    std::vector<char> feeds(graph_.units.size(), 0);
    const std::vector<Step> order = schedule_as_written(graph_);
    for (auto step = order.rbegin(); step != order.rend(); ++step) {
      if (step->kind != Step::Kind::run) continue;
      const int u = step->unit;
      const bool collective = graph_.unit(u).kind == UnitKind::collective;
      if (collective) inner_[index(u)] = feeds[index(u)];
      if (collective || feeds[index(u)] != 0)
        for (const int m : dependencies_.makers(u)) feeds[index(m)] = 1;
    }
  }

  /// A collective starts as soon as it can. What reads one in flight comes last: where another collective depends on
  /// it, after what is free to run; otherwise (a gradient bucket) after everything, until many others have started.
  Key key_of(int u) const {
    const LoweredUnit& unit = graph_.unit(u);
    if (unit.kind == UnitKind::collective) return {waits_for_room(u) ? 4 : 0, 0, unit.collective.sequence, u};
    if (unit.kind == UnitKind::view && !is_waiting(u)) return {0, 0, 0, u};
    int urgency = 1;
    for (const int c : dependencies_.before(u))
      if (pending_[index(c)] != 0)
        urgency = std::max(urgency, inner_[index(c)] != 0 ? 2 : started_[index(c)] + kInFlight <= starts_ ? 1 : 3);
    return {urgency, uses_.net_bytes(u) < 0 ? 0 : 1, unit.rank, u};
  }

  /// A gather of a state, of which enough are alive: it starts when one of those ends, or nothing else can run.
  bool waits_for_room(int u) const { return gathers_state(u) && std::ssize(gathered_) >= kGathered; }

  bool gathers_state(int u) const {
    const LoweredUnit& unit = graph_.unit(u);
    if (unit.kind != UnitKind::collective || unit.collective.kind != CollectiveKind::all_gather) return false;
    std::vector<int> left = unit.inputs;
    while (!left.empty()) {  // through what pads or joins them
      const int t = left.back();
      left.pop_back();
      const int maker = dependencies_.maker(t);
      if (maker < 0 ? graph_.tensor(graph_.origin(t)).kind == BufferKind::arena
                    : graph_.unit(maker).kind == UnitKind::collective)
        return false;
      if (maker >= 0) left.insert(left.end(), graph_.unit(maker).inputs.begin(), graph_.unit(maker).inputs.end());
    }
    return true;
  }

  void note_ended_gathers() {
    const auto ended = std::erase_if(
        gathered_, [&](int u) { return !uses_.is_read_again(graph_.root(graph_.unit(u).outputs.at(0))); });
    if (ended > 0) refresh(dependencies_.collectives());
  }

  bool is_waiting(int u) const {
    const std::vector<int>& before = dependencies_.before(u);
    return std::any_of(before.begin(), before.end(), [&](int c) { return pending_[index(c)] != 0; });
  }

  void make_ready(int u) {
    ready_[index(u)] = 1;
    key_[index(u)] = key_of(u);
    queue_.insert(key_[index(u)]);
  }

  void refresh(const std::vector<int>& units) {
    for (const int u : units) {
      if (ready_[index(u)] == 0) continue;
      const Key key = key_of(u);
      if (key == key_[index(u)]) continue;
      queue_.erase(key_[index(u)]);
      queue_.insert(key_[index(u)] = key);
    }
  }

  void issue(int u) {
    has_run_[index(u)] = 1;
    const LoweredUnit& unit = graph_.unit(u);
    if (unit.kind != UnitKind::collective) {
      for (const int c : dependencies_.before(u)) wait_for(c);
    } else {
      // Its operands may be another collective's results.
      for (const int c : dependencies_.makers(u)) wait_for(c);
      start(u);
    }
    steps_.push_back({Step::Kind::run, u, -1});
    refresh(uses_.run(u));
    note_ended_gathers();
  }

  void start(int c) {
    pending_[index(c)] = 1;
    started_[index(c)] = ++starts_;
    const std::size_t late = static_cast<std::size_t>(starts_);
    flying_.push_back(c);
    if (late > kInFlight) refresh(dependencies_.after(flying_[late - 1 - kInFlight]));
    if (gathers_state(c)) gathered_.push_back(c);
    if (!frees_operand(c)) return;
    sent_.push_back(c);
    if (std::ssize(sent_) <= kSent) return;
    wait_for(sent_.front());
    sent_.pop_front();
  }

  /// What it sends is memory of its own, which ends with it: nothing that runs now may be a reader that frees it.
  bool frees_operand(int c) const {
    const LoweredUnit& unit = graph_.unit(c);
    return unit.collective.kind != CollectiveKind::all_reduce &&
           graph_.tensor(graph_.root(unit.inputs.at(0))).kind == BufferKind::arena;
  }

  void wait_for(int c) {
    if (pending_[index(c)] == 0) return;
    pending_[index(c)] = 0;
    steps_.push_back({Step::Kind::wait, c, -1});
    refresh(dependencies_.after(c));
  }

  const LoweredGraph& graph_;
  Dependencies dependencies_;
  Uses uses_;
  std::vector<std::size_t> missing_, late_missing_;  ///< of what units depend on, all and late ones
  std::vector<Key> key_;                             ///< of ready units
  std::vector<char> ready_, pending_, inner_, late_;
  std::vector<int> started_ = std::vector<int>(graph_.units.size(), 0);  ///< collectives: their number among the starts
  std::vector<char> has_run_ = std::vector<char>(graph_.units.size(), 0);
  std::vector<int> flying_;    ///< collectives in the order of their starts
  std::deque<int> sent_;       ///< of those whose operands end with them, the last ones
  std::vector<int> gathered_;  ///< gathers of states, started and read again
  int starts_ = 0;
  std::set<Key> queue_;
  std::vector<Step> steps_;
};

/// Edges after which a tensor that is only accumulated into is made when what is added to it is there: it lives for a
/// shorter time, and what it is made of for a longer one.
std::vector<std::pair<int, int>> late_accumulations(const LoweredGraph& graph) {
  const Dependencies dependencies(graph);
  std::vector<std::pair<int, int>> order;
  for (const LoweredUnit& unit : graph.units) {
    const auto& nodes = unit.spec.body.nodes();
    if (nodes.size() != 1 || nodes.front().op != Op::scatter_nd || unit.inputs.size() != 3) continue;
    const int whole = dependencies.maker(unit.inputs[0]), updates = dependencies.maker(unit.inputs[2]);
    if (whole >= 0 && updates >= 0 && whole != updates && dependencies.after(whole).size() == 1)
      order.emplace_back(updates, whole);
  }
  return order;
}

}  // namespace

std::vector<Step> schedule(const LoweredGraph& graph) {
  std::vector<Step> early = Scheduler(graph).run();
  const std::vector<std::pair<int, int>> order = late_accumulations(graph);
  if (order.empty()) return early;
  LoweredGraph ordered = graph;
  ordered.order.insert(ordered.order.end(), order.begin(), order.end());
  std::vector<Step> late = Scheduler(ordered).run();
  // What later takes the memory of its operands counts once.
  const auto peak = [&](const std::vector<Step>& steps) {
    return peak_bytes(reuse_dying_operands(graph, steps), steps);
  };
  return peak(late) < peak(early) ? late : early;
}

std::vector<Step> schedule_as_written(const LoweredGraph& graph) {
  const Dependencies dependencies(graph);
  std::vector<std::size_t> missing(graph.units.size());
  using Entry = std::pair<int, int>;  // rank, unit
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  const auto unit_count = static_cast<int>(graph.units.size());
  for (int u = 0; u < unit_count; ++u) {
    missing[index(u)] = dependencies.before(u).size();
    if (missing[index(u)] == 0) ready.emplace(graph.unit(u).rank, u);
  }
  std::vector<Step> steps;
  std::size_t done = 0;
  for (; !ready.empty(); ++done) {
    const int u = ready.top().second;
    ready.pop();
    steps.push_back({Step::Kind::run, u, -1});
    if (graph.unit(u).kind == UnitKind::collective) steps.push_back({Step::Kind::wait, u, -1});
    for (const int d : dependencies.after(u))
      if (--missing[index(d)] == 0) ready.emplace(graph.unit(d).rank, d);
  }
  check_internal(done == graph.units.size(), "lowering: the schedule has a cycle");
  append_state_copies(graph, steps);
  return steps;
}

}  // namespace weft::lowering
