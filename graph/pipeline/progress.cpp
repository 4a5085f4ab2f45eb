// Scripts run without their segments, messages at rendezvous.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "graph/pipeline/transfers.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Messages in flight and where each rank stands.
class Rendezvous {
 public:
  explicit Rendezvous(const std::vector<RankScript>& scripts) : scripts_(scripts), ranks_(scripts.size()) {
    for (std::size_t r = 0; r < scripts.size(); ++r) {
      ranks_[r].left.resize(scripts[r].sends.size(), false);
      ranks_[r].arrived.resize(scripts[r].receives.size(), false);
    }
  }

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < ranks_.size(); ++r)
        while (step(r)) moved = true;
    }
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      if (ranks_[r].next < scripts_[r].actions.size())
        throw InternalError(fmt::format("pipeline: rank {} waits for ever at its action {} of {}", r, ranks_[r].next,
                                        scripts_[r].actions.size()));
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      check_internal(std::all_of(ranks_[r].left.begin(), ranks_[r].left.end(), [](bool b) { return b; }),
                     "pipeline: a message is not received");
  }

 private:
  struct Rank {
    std::size_t next = 0;
    std::size_t posted = 0;
    std::vector<bool> left, arrived;
  };
  using Pair = std::pair<int, int>;  ///< from, to

  bool step(std::size_t r) {
    Rank& rank = ranks_[r];
    if (rank.next == scripts_[r].actions.size()) return false;
    const PipelineAction& action = scripts_[r].actions[rank.next];
    for (; rank.posted < static_cast<std::size_t>(action.posted); ++rank.posted)
      post(static_cast<int>(r), static_cast<int>(rank.posted), false);
    const auto has = [](const std::vector<bool>& done) {
      return [&](int i) { return done[static_cast<std::size_t>(i)]; };
    };
    if (!std::all_of(action.needs.begin(), action.needs.end(), has(rank.arrived))) return false;
    if (!std::all_of(action.reuses.begin(), action.reuses.end(), has(rank.left))) return false;
    for (int s = action.sends_from; s < action.sends_to; ++s) post(static_cast<int>(r), s, true);
    ++rank.next;
    return true;
  }

  void post(int rank, int number, bool sent) {
    const RankScript& script = scripts_[static_cast<std::size_t>(rank)];
    const Transfer& mine = (sent ? script.sends : script.receives)[static_cast<std::size_t>(number)];
    const Pair pair = sent ? Pair(rank, mine.peer) : Pair(mine.peer, rank);
    auto& others = waiting_[{pair, !sent}];
    if (others.empty()) {
      waiting_[{pair, sent}].push_back(number);
      return;
    }
    const int send = sent ? number : others.front(), receive = sent ? others.front() : number;
    others.erase(others.begin());
    const auto from = static_cast<std::size_t>(pair.first), to = static_cast<std::size_t>(pair.second);
    const std::string &given = scripts_[from].sends[static_cast<std::size_t>(send)].name,
                      &taken = scripts_[to].receives[static_cast<std::size_t>(receive)].name;
    if (given != taken)
      throw InternalError(
          fmt::format("pipeline: rank {} sends '{}', and rank {} receives it as '{}'", from, given, to, taken));
    ranks_[from].left[static_cast<std::size_t>(send)] = true;
    ranks_[to].arrived[static_cast<std::size_t>(receive)] = true;
  }

  const std::vector<RankScript>& scripts_;
  std::vector<Rank> ranks_;
  std::map<std::pair<Pair, bool>, std::vector<int>> waiting_;  ///< posted sends (true) and receives of a pair
};

}  // namespace

void check_progress(const std::vector<RankScript>& scripts) { Rendezvous(scripts).run(); }

}  // namespace weft
