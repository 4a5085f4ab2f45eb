// Hashes of all states, gathered, and compared among ranks that hold the same part.
#include "src/checkpoint/replicas.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

/// What a rank says of one state: which part of it, and with which bytes.
struct PartHash {
  std::uint64_t part = 0, content = 0;
};

constexpr std::size_t kHostBytes = 64;

struct RankHashes {
  std::string host;
  std::vector<PartHash> states;  ///< the list of names, then the states
};

std::uint64_t hash_of_part(const Shard& shard) {
  Hash64 hash;
  for (const auto& runs : shard.kept) {
    const std::uint64_t count = runs.size();
    hash.update(std::as_bytes(std::span(&count, 1)));
    hash.update(std::as_bytes(std::span(runs)));
  }
  return hash.digest();
}

std::vector<std::byte> hashes_of(const StateTable& table, const std::vector<std::string>& names) {
  std::array<char, kHostBytes> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {'?'};
  std::vector<PartHash> states(1);
  Hash64 list;
  for (const std::string& name : names) {
    list.update(name + '\n');
    states.push_back({hash_of_part(table.at(name).shard), table.hash(name)});
  }
  states.front().content = list.digest();
  std::vector<std::byte> bytes;
  const auto put = [&](std::span<const std::byte> some) { bytes.insert(bytes.end(), some.begin(), some.end()); };
  put(std::as_bytes(std::span(host)));
  put(std::as_bytes(std::span(states)));
  return bytes;
}

RankHashes parse_hashes(const std::vector<std::byte>& bytes) {
  check_internal(bytes.size() > kHostBytes, "another rank sent a message of the wrong length");
  const auto* host = reinterpret_cast<const char*>(bytes.data());
  RankHashes rank{std::string(host, ::strnlen(host, kHostBytes)), {}};
  rank.states.resize((bytes.size() - kHostBytes) / sizeof(PartHash));
  std::memcpy(rank.states.data(), bytes.data() + kHostBytes, rank.states.size() * sizeof(PartHash));
  return rank;
}

/// The hashes of some ranks, in words: "ranks 0 (node1), 1 (node1): 00f3…; rank 2 (node2): 91ab…", by lowest rank.
std::string words_for(const std::vector<RankHashes>& all, const std::vector<std::size_t>& ranks, std::size_t state) {
  std::vector<std::pair<std::uint64_t, std::vector<std::string>>> groups;
  for (const std::size_t rank : ranks) {
    const std::uint64_t hash = all[rank].states[state].content;
    auto group = groups.begin();
    while (group != groups.end() && group->first != hash) ++group;
    if (group == groups.end()) group = groups.insert(group, {hash, {}});
    group->second.push_back(fmt::format("{} ({})", rank, all[rank].host));
  }
  std::string text;
  for (const auto& [hash, members] : groups)
    text += fmt::format("{}rank{} {}: {}", text.empty() ? "" : "; ", members.size() == 1 ? "" : "s",
                        fmt::join(members, ", "), hash_text(hash));
  return text;
}

/// Throws where ranks that hold the same part of a state hold other bytes.
void compare(const std::vector<RankHashes>& all, std::size_t state, const std::string& what, std::int64_t step) {
  std::map<std::uint64_t, std::vector<std::size_t>> holders;  // by part
  for (std::size_t rank = 0; rank < all.size(); ++rank) holders[all[rank].states[state].part].push_back(rank);
  for (const auto& [part, ranks] : holders)
    for (const std::size_t rank : ranks)
      if (all[rank].states[state].content != all[ranks.front()].states[state].content)
        throw SystemError(fmt::format(
            "after step {} the replicas differ: {} has content hash {}. A device, its memory or a network link "
            "computes or carries wrong values, or the ranks ran different programs. Resume from the newest checkpoint",
            step, what, words_for(all, ranks, state)));
}

}  // namespace

void check_replicas(Communicator& comm, const StateTable& table, std::int64_t step) {
  if (comm.size() == 1) return;  // nothing to compare with, and reading all states takes its time
  const std::vector<std::string> names = table.names();
  std::vector<RankHashes> all;
  for (const auto& bytes : gather_bytes(comm, hashes_of(table, names), "compare replicas"))
    all.push_back(parse_hashes(bytes));
  compare(all, 0, "the list of states", step);
  for (std::size_t i = 0; i < names.size(); ++i) compare(all, i + 1, fmt::format("state '{}'", names[i]), step);
}

}  // namespace weft
