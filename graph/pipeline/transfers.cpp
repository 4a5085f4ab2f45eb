// Positions in the ranks' orders decide everything.
#include "graph/pipeline/transfers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "weft/error.hpp"

namespace weft {
namespace {

/// One message of one micro-batch.
struct Message {
  int crossing = 0, micro_batch = 0;
  int from = 0, to = 0;
  int sent_after = 0, read_by = 0, posted_before = 0;  ///< positions in the orders of both ends
};

/// From the first to the last action that touches a buffer, by micro-batch; empty where none does.
struct Life {
  int begin = 0, end = -1;
  bool sent = false;
  double made = 0, taken = 0;  ///< times: the run that makes it begins; the last receive is posted, where it is sent
  void touch(int position) {
    if (end < 0) begin = position;
    begin = std::min(begin, position), end = std::max(end, position);
  }
};

class Scripts {
 public:
  Scripts(const std::vector<std::vector<SegmentRun>>& order, const std::vector<Crossing>& crossings, int micro_batches)
      : order_(order), crossings_(crossings), micro_batches_(micro_batches), scripts_(order.size()) {
    for (std::size_t r = 0; r < order.size(); ++r)
      for (std::size_t i = 0; i < order[r].size(); ++i)
        position_[{order[r][i].segment, order[r][i].micro_batch}] = {static_cast<int>(r), static_cast<int>(i)};
  }

  std::vector<RankScript> run(const std::vector<StateCopy>& copies) {
    find_messages();
    post_in_order();
    find_times();
    for (std::size_t r = 0; r < scripts_.size(); ++r) {
      add_buffers(static_cast<int>(r));
      add_actions(static_cast<int>(r));
    }
    add_messages();
    add_copies(copies);
    for (RankScript& script : scripts_) count_posted(script);
    return std::move(scripts_);
  }

 private:
  using Place = std::pair<int, int>;  ///< rank, position

  void find_messages() {
    for (std::size_t c = 0; c < crossings_.size(); ++c)
      for (int j = 0; j < micro_batches_; ++j) {
        const auto made = position_.find({crossings_[c].from, j});
        if (made == position_.end()) continue;  // of the update: there is one
        const auto [from, sent_after] = made->second;
        life(from, c, j).touch(sent_after);
        std::map<int, int> first;  // reading rank -> position
        for (const int segment : crossings_[c].to) {
          const auto [rank, position] = position_.at({segment, j});
          const auto [it, fresh] = first.emplace(rank, position);
          it->second = std::min(it->second, position);
          life(rank, c, j).touch(position);
        }
        for (const auto& [to, read_by] : first)
          if (to != from) {
            messages_.push_back({static_cast<int>(c), j, from, to, sent_after, read_by, std::max(0, read_by - 1)});
            life(from, c, j).sent = true;
          }
      }
  }

  Life& life(int rank, std::size_t crossing, int micro_batch) {
    auto& lives = lives_[{rank, static_cast<int>(crossing)}];
    lives.resize(static_cast<std::size_t>(micro_batches_));
    return lives[static_cast<std::size_t>(micro_batch)];
  }

  /// Both ends see the messages of a pair in the order in which they are sent: one is posted no later than those after
  /// it.
  void post_in_order() {
    std::sort(messages_.begin(), messages_.end(), [](const Message& a, const Message& b) {
      return std::tie(a.from, a.sent_after, a.crossing, a.to) < std::tie(b.from, b.sent_after, b.crossing, b.to);
    });
    std::map<std::pair<int, int>, int> earliest;
    for (auto m = messages_.rbegin(); m != messages_.rend(); ++m) {
      const auto [it, fresh] = earliest.emplace(std::pair(m->from, m->to), m->posted_before);
      it->second = m->posted_before = std::min(it->second, m->posted_before);
      life(m->to, static_cast<std::size_t>(m->crossing), m->micro_batch).touch(m->posted_before);
    }
  }

  /// When runs begin and end if none waits for anything but what it reads.
  void find_times() {
    std::map<std::pair<int, int>, std::vector<std::pair<int, int>>> needs;  // rank, position -> the makers' places
    for (const Message& m : messages_) needs[{m.to, m.read_by}].emplace_back(m.from, m.sent_after);
    begin_.resize(order_.size()), end_.resize(order_.size());
    const auto done = [&](const Place& p) {
      return static_cast<std::size_t>(p.second) < end_[static_cast<std::size_t>(p.first)].size();
    };
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < order_.size(); ++r)
        while (end_[r].size() < order_[r].size()) {
          const auto& makers = needs[{static_cast<int>(r), static_cast<int>(end_[r].size())}];
          if (!std::all_of(makers.begin(), makers.end(), done)) break;
          double start = end_[r].empty() ? 0 : end_[r].back();
          for (const Place& p : makers) start = std::max(start, end_of(p));
          begin_[r].push_back(start);
          end_[r].push_back(start + order_[r][end_[r].size()].work);
          moved = true;
        }
    }
    for (std::size_t r = 0; r < order_.size(); ++r)
      if (end_[r].size() < order_[r].size())
        throw InternalError(fmt::format("pipeline: rank {} waits for ever for what its segment {} reads", r,
                                        order_[r][end_[r].size()].segment));
    for (const Message& m : messages_) {
      const double posted = m.posted_before == 0 ? 0 : end_of({m.to, m.posted_before - 1});
      Life& sent = life(m.from, static_cast<std::size_t>(m.crossing), m.micro_batch);
      sent.taken = std::max(sent.taken, posted);
      sent.made = begin_[static_cast<std::size_t>(m.from)][static_cast<std::size_t>(m.sent_after)];
    }
  }

  double end_of(const Place& p) const {
    return end_[static_cast<std::size_t>(p.first)][static_cast<std::size_t>(p.second)];
  }

  void add_buffers(int rank) {
    RankScript& script = scripts_[static_cast<std::size_t>(rank)];
    for (const auto& [key, lives] : lives_) {
      if (key.first != rank) continue;
      const Crossing& crossing = crossings_[static_cast<std::size_t>(key.second)];
      buffer_[key] = static_cast<int>(script.buffers.size());
      script.buffers.push_back({crossing.name, crossing.type, slots(lives)});
    }
  }

  /// The fewest such that a slot is touched again only after its micro-batch is done with it, and where it is sent,
  /// when the other end has posted the receive, by the times of a run without delays: so that no sender waits for a
  /// receiver that needs the value much later. Two at least where it is sent, for the time that it travels.
  int slots(const std::vector<Life>& lives) const {
    const auto alive = [](const Life& l) { return l.end >= 0; };
    const auto n = static_cast<int>(std::count_if(lives.begin(), lives.end(), alive));
    const bool sent = std::any_of(lives.begin(), lives.end(), [](const Life& l) { return l.sent; });
    for (int slots = std::min(n, sent ? 2 : 1); slots < n; ++slots) {
      bool apart = true;
      for (int j = 0; j + slots < n; ++j) {
        const Life &first = lives[static_cast<std::size_t>(j)], &next = lives[static_cast<std::size_t>(j + slots)];
        apart = apart && next.begin > first.end && (!sent || next.made >= first.taken);
      }
      if (apart) return slots;
    }
    return std::max(n, 1);
  }

  void add_actions(int rank) {
    RankScript& script = scripts_[static_cast<std::size_t>(rank)];
    for (const SegmentRun& run : order_[static_cast<std::size_t>(rank)]) {
      PipelineAction action;
      action.segment = run.segment;
      action.micro_batch = run.micro_batch;
      script.actions.push_back(action);
    }
    script.actions.push_back({});
  }

  PipelineAction& action(int rank, int position) {
    return scripts_[static_cast<std::size_t>(rank)].actions[static_cast<std::size_t>(position)];
  }

  Transfer transfer(const Message& m, bool sent) {
    const int rank = sent ? m.from : m.to;
    const int buffer = buffer_.at({rank, m.crossing});
    const PipelineBuffer& b = scripts_[static_cast<std::size_t>(rank)].buffers[static_cast<std::size_t>(buffer)];
    return {b.name, sent ? m.to : m.from, buffer, m.micro_batch % b.slots, static_cast<int>(&m - messages_.data())};
  }

  void add_messages() {
    std::vector<const Message*> received;
    for (const Message& m : messages_) {
      auto& sends = scripts_[static_cast<std::size_t>(m.from)].sends;
      const auto number = static_cast<int>(sends.size());
      sends.push_back(transfer(m, true));
      PipelineAction& from = action(m.from, m.sent_after);
      if (from.sends_to == 0) from.sends_from = number;
      from.sends_to = number + 1;
      reuse(m, number);
      received.push_back(&m);
    }
    std::stable_sort(received.begin(), received.end(),
                     [](const Message* a, const Message* b) { return a->posted_before < b->posted_before; });
    for (const Message* m : received) {
      auto& receives = scripts_[static_cast<std::size_t>(m->to)].receives;
      const auto number = static_cast<int>(receives.size());
      receives.push_back(transfer(*m, false));
      action(m->to, m->read_by).needs.push_back(number);
      posted_before_[static_cast<std::size_t>(m->to)].push_back(m->posted_before);
    }
  }

  /// The pass that writes this slot next waits for the send.
  void reuse(const Message& m, int number) {
    const auto& buffers = scripts_[static_cast<std::size_t>(m.from)].buffers;
    const int next = m.micro_batch + buffers[static_cast<std::size_t>(buffer_.at({m.from, m.crossing}))].slots;
    const auto writer = position_.find({crossings_[static_cast<std::size_t>(m.crossing)].from, next});
    if (writer != position_.end()) action(m.from, writer->second.second).reuses.push_back(number);
  }

  /// Sent after the last run, which made the value and sends nothing else, and received when none here reads the old
  /// one.
  void add_copies(const std::vector<StateCopy>& copies) {
    auto number = static_cast<int>(messages_.size());
    for (const StateCopy& copy : copies) {
      RankScript &from = scripts_[static_cast<std::size_t>(copy.from)],
                 &to = scripts_[static_cast<std::size_t>(copy.to)];
      PipelineAction& last = *(from.actions.end() - 2);
      if (last.sends_to == 0) last.sends_from = static_cast<int>(from.sends.size());
      from.sends.push_back({copy.state, copy.to, -1, 0, number});
      last.sends_to = static_cast<int>(from.sends.size());
      to.actions.back().needs.push_back(static_cast<int>(to.receives.size()));
      to.receives.push_back({copy.state, copy.from, -1, 0, number++});
      posted_before_[static_cast<std::size_t>(copy.to)].push_back(static_cast<int>(to.actions.size()) - 1);
    }
  }

  void count_posted(RankScript& script) {
    const auto rank = static_cast<std::size_t>(&script - scripts_.data());
    const std::vector<int>& before = posted_before_[rank];
    for (std::size_t i = 0; i < script.actions.size(); ++i)
      script.actions[i].posted =
          static_cast<int>(std::upper_bound(before.begin(), before.end(), static_cast<int>(i)) - before.begin());
  }

  const std::vector<std::vector<SegmentRun>>& order_;
  const std::vector<Crossing>& crossings_;
  int micro_batches_;
  std::vector<RankScript> scripts_;
  std::map<std::pair<int, int>, Place> position_;           ///< segment, micro-batch
  std::map<std::pair<int, int>, std::vector<Life>> lives_;  ///< rank, crossing
  std::map<std::pair<int, int>, int> buffer_;               ///< likewise
  std::vector<Message> messages_;
  std::vector<std::vector<double>> begin_, end_;           ///< by rank and position
  std::map<std::size_t, std::vector<int>> posted_before_;  ///< by rank, of its receives
};

}  // namespace

std::vector<RankScript> make_scripts(const std::vector<std::vector<SegmentRun>>& order,
                                     const std::vector<Crossing>& crossings, int micro_batches,
                                     const std::vector<StateCopy>& copies) {
  return Scripts(order, crossings, micro_batches).run(copies);
}

}  // namespace weft
