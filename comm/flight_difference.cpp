// Comparing the flight logs of ranks.
//
// Operations of one group carry a position that its members count alike. Where two members did different things at one
// position, they part; where one's last position is below another's, it has not come. Messages are compared in the same
// way, between the two ranks of each direction.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "comm/flight_log.hpp"

namespace weft {
namespace {

/// A group's collectives (from = to = -1), or the messages of it from one rank to another.
using Stream = std::tuple<std::uint64_t, int, int>;
/// By position, of one rank.
using Positions = std::map<std::uint64_t, const FlightRecord*>;

constexpr std::size_t kMostShown = 4;

struct Difference {
  double when = 0;  ///< the start of the operation
  std::string text;
};

std::string ranks_text(const std::vector<int>& ranks) {
  return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
}

std::string stream_text(const FlightRecord& r) {
  return r.peer < 0 ? fmt::format("operation #{} of group '{}'", r.signature.sequence, r.group_name)
                    : fmt::format("message #{} between two ranks of group '{}'", r.signature.sequence, r.group_name);
}

std::string what_of(const FlightRecord& r) {
  return fmt::format("{}{}{} ({})", r.signature.str(), r.place.empty() ? "" : ", at ", r.place, name_of(r.state));
}

/// The ranks' operations at one position, where they are not all the same.
std::optional<Difference> parted(const std::map<int, Positions>& ranks, std::uint64_t position) {
  const FlightRecord* first = nullptr;
  std::string differs;
  std::map<std::string, std::vector<int>> by_operation;
  double when = 0;
  for (const auto& [rank, positions] : ranks) {
    const auto found = positions.find(position);
    if (found == positions.end()) continue;
    const FlightRecord& r = *found->second;
    by_operation[what_of(r)].push_back(rank);
    when = first == nullptr ? r.started : std::min(when, r.started);
    if (first == nullptr)
      first = &r;
    else if (differs.empty())
      differs = what_differs(first->signature, r.signature);
  }
  if (differs.empty()) return std::nullopt;
  Difference d{when, fmt::format("ranks part at {}; what differs: {}", stream_text(*first), differs)};
  for (const auto& [operation, members] : by_operation)
    d.text += fmt::format("\n  {}: {}", ranks_text(members), operation);
  return d;
}

/// Members that have not come to the newest position that another waits in.
std::optional<Difference> behind(const std::map<int, Positions>& ranks, const std::vector<RankFlight>& all) {
  const FlightRecord* newest = nullptr;
  for (const auto& [rank, positions] : ranks)
    if (const FlightRecord* last = positions.rbegin()->second;
        newest == nullptr || last->signature.sequence > newest->signature.sequence ||
        (last->signature.sequence == newest->signature.sequence && newest->state == FlightState::finished))
      newest = last;
  std::vector<int> there;
  std::map<std::uint64_t, std::vector<int>> late;  // by their last position
  std::map<std::uint64_t, const FlightRecord*> lasts;
  for (const auto& [rank, positions] : ranks) {
    const FlightRecord& last = *positions.rbegin()->second;
    if (last.signature.sequence == newest->signature.sequence) {
      there.push_back(rank);
      continue;
    }
    late[last.signature.sequence].push_back(rank);
    lasts[last.signature.sequence] = &last;
  }
  // A member that never used the group is known where the group is all ranks, or the message is for it.
  for (const RankFlight& flight : all) {
    const bool member = newest->peer < 0 ? newest->group_size == flight.ranks : newest->peer == flight.rank;
    if (member && !ranks.contains(flight.rank)) late[0].push_back(flight.rank);
  }
  if (late.empty() || newest->state == FlightState::finished) return std::nullopt;
  Difference d{newest->started,
               fmt::format("{} came to {}, {}", ranks_text(there), stream_text(*newest), what_of(*newest))};
  for (const auto& [position, members] : late) {
    const auto last = lasts.find(position);
    d.text += fmt::format("\n  {} {}", ranks_text(members),
                          last == lasts.end() ? "came to none of them"
                                              : fmt::format("came to #{}, {}", position, what_of(*last->second)));
  }
  return d;
}

}  // namespace

std::string first_flight_difference(const std::vector<RankFlight>& all) {
  std::map<Stream, std::map<int, Positions>> streams;
  for (const RankFlight& flight : all)
    for (const FlightRecord& r : flight.records) {
      const int from = r.peer < 0 ? -1
                       : r.sends  ? flight.rank
                                  : r.peer,
                to = r.peer < 0 ? -1
                     : r.sends  ? r.peer
                                : flight.rank;
      streams[{r.signature.group, from, to}][flight.rank][r.signature.sequence] = &r;
    }
  std::optional<Difference> mismatch;
  std::vector<Difference> late;
  for (const auto& [stream, ranks] : streams) {
    std::vector<std::uint64_t> positions;
    for (const auto& [rank, of_rank] : ranks)
      for (const auto& [position, record] : of_rank) positions.push_back(position);
    std::sort(positions.begin(), positions.end());
    positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
    for (const std::uint64_t position : positions)
      if (auto found = parted(ranks, position)) {
        if (!mismatch || found->when < mismatch->when) mismatch = std::move(found);
        break;
      }
    if (auto found = behind(ranks, all)) late.push_back(std::move(*found));
  }
  if (mismatch) return mismatch->text;
  // Several where ranks wait for each other: which of them is the cause, they cannot tell.
  std::sort(late.begin(), late.end(), [](const auto& a, const auto& b) { return a.when < b.when; });
  if (late.size() > kMostShown) late.resize(kMostShown);
  std::string text;
  for (const Difference& d : late) text += (text.empty() ? "" : "\n  ") + d.text;
  return text;
}

}  // namespace weft
