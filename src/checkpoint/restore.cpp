// Checkpoints against the run that takes them: checked by all ranks, compared with what is expected, read into states.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "comm/agreement.hpp"
#include "src/checkpoint/exchange.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/load.hpp"
#include "src/checkpoint/shares.hpp"
#include "src/checkpoint/verify.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Json = nlohmann::json;

std::vector<std::byte> packed(const Json& json) {
  // CBOR carries strings that are not UTF-8 as they are.
  const auto bytes = Json::to_cbor(json);
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

Json unpacked(const std::vector<std::byte>& bytes) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return Json::from_cbor(begin, begin + bytes.size());
}

/// Everything but the values, for the other ranks.
Json header_of(const LoadedCheckpoint& checkpoint) {
  const CheckpointMeta& m = checkpoint.meta;
  Json states = Json::array(), pieces = Json::array();
  for (const LoadedState& state : checkpoint.states)
    states.push_back(
        {state.name, static_cast<int>(state.role), static_cast<int>(state.type.dtype), state.type.shape.extents()});
  for (const CheckpointPiece& p : checkpoint.pieces)
    pieces.push_back({p.state, p.offset, p.file_offset, p.length, p.hash});
  return {checkpoint.path.string(),
          m.step,
          m.epoch,
          m.batch_in_epoch,
          m.samples_seen,
          m.seed,
          m.job,
          m.plan,
          m.model_fingerprint,
          m.data_fingerprint,
          m.weft_version,
          checkpoint.file_bytes,
          states,
          pieces};
}

LoadedCheckpoint from_header(const Json& h) {
  LoadedCheckpoint checkpoint;
  checkpoint.path = h[0].get<std::string>();
  checkpoint.meta = {h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10]};
  checkpoint.file_bytes = h[11];
  for (const Json& s : h[12])
    checkpoint.states.push_back({s[0],
                                 static_cast<StateRole>(s[1].get<int>()),
                                 {static_cast<DType>(s[2].get<int>()), Shape(s[3].get<Dims>())},
                                 Tensor()});
  for (const Json& p : h[13]) checkpoint.pieces.push_back({p[0], p[1], p[2], p[3], p[4]});
  return checkpoint;
}

/// The pieces that each rank reads.
class Shares {
 public:
  Shares(std::vector<CheckpointPiece> pieces, int ranks) : pieces_(std::move(pieces)) {
    std::vector<std::int64_t> lengths;
    for (const CheckpointPiece& piece : pieces_) lengths.push_back(piece.length);
    first_ = even_shares(lengths, ranks);
  }
  std::span<const CheckpointPiece> of(int rank) const {
    const auto r = static_cast<std::size_t>(rank);
    return std::span(pieces_).subspan(first_[r], first_[r + 1] - first_[r]);
  }

 private:
  std::vector<CheckpointPiece> pieces_;
  std::vector<std::size_t> first_;
};

/// What is wrong with a file, in words.
std::string failure_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
}

std::string kind_of(StateRole role) {
  return role == StateRole::parameter ? "parameter" : role == StateRole::statistic ? "statistic" : "state";
}

}  // namespace

LoadedCheckpoint load_checkpoint(Communicator& comm, FileSystem& files, const std::filesystem::path& path) {
  LoadedCheckpoint checkpoint = from_header(unpacked(
      on_rank_0(comm, "checkpoint: load", [&] { return packed(header_of(describe_unchecked(files, path))); })));
  const Shares shares(checkpoint.pieces, comm.size());
  together(comm, "checkpoint: check", [&] {
    check_pieces(files, checkpoint, shares.of(comm.rank()), {});
    return std::vector<std::byte>{};
  });
  return checkpoint;
}

std::optional<LoadedCheckpoint> load_newest(Communicator& comm, FileSystem& files, const std::filesystem::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over) {
  const Json candidates = unpacked(on_rank_0(comm, "checkpoint: list", [&] {
    Json list = Json::array();
    for (const StepFile& file : list_checkpoints(files, folder)) list.push_back({file.step, file.path.string()});
    return packed(list);
  }));
  for (const Json& candidate : candidates) {
    const std::filesystem::path path = candidate[1].get<std::string>();
    const Json found = unpacked(on_rank_0(comm, "checkpoint: find the newest", [&] {
      Json header;
      const std::string failure = failure_of([&] {
        const LoadedCheckpoint described = describe_unchecked(files, path);
        check_step(described, candidate[0]);
        header = header_of(described);
      });
      return packed(Json{failure, header});
    }));
    std::string reason = found[0];
    if (reason.empty()) {
      LoadedCheckpoint checkpoint = from_header(found[1]);
      const Shares shares(checkpoint.pieces, comm.size());
      const auto verdicts = together(comm, "checkpoint: check", [&] {
        const std::string failure = failure_of([&] { check_pieces(files, checkpoint, shares.of(comm.rank()), {}); });
        const auto bytes = std::as_bytes(std::span(failure));
        return std::vector<std::byte>(bytes.begin(), bytes.end());
      });
      const auto bad = std::find_if(verdicts.begin(), verdicts.end(), [](const auto& v) { return !v.empty(); });
      if (bad == verdicts.end()) return checkpoint;
      reason.assign(reinterpret_cast<const char*>(bad->data()), bad->size());
    }
    passed_over.push_back({path, reason});
  }
  return std::nullopt;
}

void check_fits(const LoadedCheckpoint& checkpoint, const StateSource& expected) {
  const auto refuse = [&](const std::string& why) {
    throw UserError(fmt::format(
        "'{}' does not fit this job: {}. It is of another model or optimiser; use that job's file, or start afresh "
        "with `--resume never`",
        checkpoint.path.string(), why));
  };
  std::vector<const StateItem*> wanted;
  for (const StateItem& item : expected) wanted.push_back(&item);
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const StateItem* a, const StateItem* b) { return a->role < b->role; });
  std::map<std::string, const LoadedState*> have;
  for (const LoadedState& state : checkpoint.states) have[state.name] = &state;
  for (const StateItem* item : wanted) {
    const auto found = have.find(item->name);
    if (found == have.end())
      refuse(fmt::format("it has no {} '{}' ({} here)", kind_of(item->role), item->name, item->type.str()));
    if (found->second->type != item->type)
      refuse(fmt::format("{} '{}' is {} in it and {} here", kind_of(item->role), item->name, found->second->type.str(),
                         item->type.str()));
    if (found->second->role != item->role)
      refuse(fmt::format("'{}' is a {} in it and a {} here", item->name, kind_of(found->second->role),
                         kind_of(item->role)));
    have.erase(found);
  }
  if (!have.empty())
    refuse(fmt::format("it has a {} '{}' ({}) that is not here", kind_of(have.begin()->second->role),
                       have.begin()->first, have.begin()->second->type.str()));
}

void restore(Communicator& comm, FileSystem& files, StateTable& table, const LoadedCheckpoint& checkpoint) {
  std::vector<TensorType> types;
  std::vector<const Shard*> mine;
  for (const LoadedState& state : checkpoint.states) {
    types.push_back(state.type);
    mine.push_back(table.has(state.name) ? &table.at(state.name).shard : nullptr);
    check_internal(mine.back() == nullptr || mine.back()->whole == state.type,
                   fmt::format("state '{}' is {} here and {} in its checkpoint", state.name,
                               mine.back() == nullptr ? "" : mine.back()->whole.str(), state.type.str()));
  }
  Holders holders = holders_of(comm, types, mine);
  std::vector<CheckpointPiece> wanted;
  for (const CheckpointPiece& piece : checkpoint.pieces)
    if (!holders[static_cast<std::size_t>(piece.state)].empty()) wanted.push_back(piece);
  const Shares shares(std::move(wanted), comm.size());
  PieceExchange exchange(comm, std::move(types), std::move(holders), "checkpoint: restore");

  std::size_t rounds = 0;
  for (int rank = 0; rank < comm.size(); ++rank) rounds = std::max(rounds, shares.of(rank).size());
  std::optional<std::string> failure;  // others still wait for what this rank reads
  std::vector<std::byte> bytes;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<std::optional<StatePiece>> given(static_cast<std::size_t>(comm.size()));
    for (int rank = 0; rank < comm.size(); ++rank)
      if (round < shares.of(rank).size()) {
        const CheckpointPiece& piece = shares.of(rank)[round];
        given[static_cast<std::size_t>(rank)] =
            StatePiece{static_cast<std::size_t>(piece.state), {piece.offset, piece.length}};
      }
    if (round < shares.of(comm.rank()).size()) {
      const auto piece = shares.of(comm.rank()).subspan(round, 1);
      bytes.resize(static_cast<std::size_t>(piece.front().length));
      const std::string why = failure_of([&] {
        check_pieces(files, checkpoint, piece, [&](const CheckpointPiece&, std::span<const std::byte> read) {
          std::copy(read.begin(), read.end(), bytes.begin());
        });
      });
      if (!why.empty() && !failure) failure = why;
    }
    exchange.scatter(given, bytes, [&](std::size_t state, std::int64_t offset, std::span<const std::byte> from) {
      table.write_bytes(checkpoint.states[state].name, offset, from);
    });
  }
  together(comm, "checkpoint: restore", [&] {
    if (failure) throw SystemError("the file changed while it was read: " + *failure);
    return std::vector<std::byte>{};
  });
}

}  // namespace weft
