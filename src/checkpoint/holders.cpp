// Parts travel as words: -1 for a whole state, -2 for nothing of it, else for each dimension its number of runs and
// those.
#include "src/checkpoint/holders.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::int64_t kWhole = -1, kNothing = -2;

void put(std::vector<std::int64_t>& words, const Shard* shard) {
  if (shard == nullptr || shard->local.shape.elements() == 0) {
    words.push_back(kNothing);
  } else if (shard->is_whole()) {
    words.push_back(kWhole);
  } else {
    for (const std::vector<IndexRun>& runs : shard->kept) {
      words.push_back(std::ssize(runs));
      for (const IndexRun& run : runs) words.insert(words.end(), {run.first, run.count});
    }
  }
}

/// Reads what another rank put.
class WordReader {
 public:
  explicit WordReader(std::span<const std::byte> bytes) : words_(bytes.size() / sizeof(std::int64_t)) {
    if (!words_.empty()) std::memcpy(words_.data(), bytes.data(), words_.size() * sizeof(std::int64_t));
  }
  std::int64_t next() {
    check_internal(at_ < words_.size(), "another rank has fewer states");
    return words_[at_++];
  }
  bool ended() const { return at_ == words_.size(); }

 private:
  std::vector<std::int64_t> words_;
  std::size_t at_ = 0;
};

/// What a rank keeps of a state; false where that is nothing.
bool take(WordReader& words, const KeptIndices& whole, KeptIndices& kept) {
  std::int64_t word = words.next();
  kept = whole;
  if (word < 0) return word == kWhole;
  for (std::size_t d = 0; d < whole.size(); ++d) {
    if (d != 0) word = words.next();
    check_internal(word >= 0, "another rank's states have other dimensions");
    kept[d].clear();
    for (; word > 0; --word) {
      const std::int64_t first = words.next();
      kept[d].push_back({first, words.next()});
    }
  }
  return true;
}

}  // namespace

Holders holders_of(Communicator& comm, const std::vector<TensorType>& types, const std::vector<const Shard*>& mine) {
  check_internal(types.size() == mine.size(), "a part for each state, or none");
  std::vector<std::int64_t> words;
  std::vector<KeptIndices> wholes;
  for (const Shard* shard : mine) put(words, shard);
  for (const TensorType& type : types) wholes.push_back(whole_shard(type).kept);
  const auto all = gather_bytes(comm, std::as_bytes(std::span(words)), "checkpoint: who holds what");
  Holders holders(mine.size());
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    WordReader reader(all[rank]);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      KeptIndices kept;
      if (!take(reader, wholes[i], kept)) continue;
      auto part = std::find_if(holders[i].begin(), holders[i].end(), [&](const HeldPart& p) { return p.kept == kept; });
      if (part == holders[i].end()) part = holders[i].insert(part, {std::move(kept), {}});
      part->ranks.push_back(static_cast<int>(rank));
    }
    check_internal(reader.ended(), "another rank has more states");
  }
  return holders;
}

}  // namespace weft
