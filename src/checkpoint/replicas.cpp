// Hashes of all states, gathered and compared.
#include "src/checkpoint/replicas.hpp"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <vector>

#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

/// "ranks 0, 1 and 3: 00f3…; rank 2: 91ab…", by lowest rank.
std::string groups_of(const std::vector<std::uint64_t>& hashes) {
  std::vector<std::pair<std::uint64_t, std::vector<std::size_t>>> groups;
  for (std::size_t rank = 0; rank < hashes.size(); ++rank) {
    auto group = groups.begin();
    while (group != groups.end() && group->first != hashes[rank]) ++group;
    if (group == groups.end()) group = groups.insert(group, {hashes[rank], {}});
    group->second.push_back(rank);
  }
  std::string text;
  for (const auto& [hash, ranks] : groups)
    text += fmt::format("{}rank{} {}: {}", text.empty() ? "" : "; ", ranks.size() == 1 ? "" : "s",
                        fmt::join(ranks, ", "), hash_text(hash));
  return text;
}

std::string differs(const std::string& what, const std::vector<std::uint64_t>& hashes, std::int64_t step) {
  return fmt::format(
      "after step {} the replicas differ: {} has content hash {}. A device, its memory or a network link computes or "
      "carries wrong values, or the ranks ran different programs. Resume from the newest checkpoint",
      step, what, groups_of(hashes));
}

}  // namespace

void check_replicas(Communicator& comm, const StateTable& table, std::int64_t step) {
  if (comm.size() == 1) return;  // nothing to compare with, and reading all states takes its time
  const std::vector<std::string> names = table.names();
  // Hashes of the list of names, then of each state.
  std::vector<std::uint64_t> mine(1);
  Hash64 list;
  for (const std::string& name : names) {
    list.update(name + '\n');
    mine.push_back(table.hash(name));
  }
  mine.front() = list.digest();

  const auto all = gather_bytes(comm, std::as_bytes(std::span(mine)), "compare replicas");
  for (std::size_t i = 0; i < mine.size(); ++i) {
    std::vector<std::uint64_t> hashes(all.size(), 0);
    bool equal = true;
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      if (all[rank].size() >= (i + 1) * sizeof(std::uint64_t))
        std::memcpy(&hashes[rank], all[rank].data() + i * sizeof(std::uint64_t), sizeof(std::uint64_t));
      equal = equal && hashes[rank] == hashes[0];
    }
    if (!equal)
      throw SystemError(differs(i == 0 ? "the list of states" : "state '" + names[i - 1] + "'", hashes, step));
  }
}

}  // namespace weft
