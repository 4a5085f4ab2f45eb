// Checkpoints against the run that takes them: other ranks, expected states, the state table.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "comm/agreement.hpp"
#include "src/checkpoint/load.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Json = nlohmann::json;

/// Everything but the values, as text for the other ranks.
std::vector<std::byte> header_of(const LoadedCheckpoint& checkpoint) {
  const CheckpointMeta& m = checkpoint.meta;
  Json states = Json::array();
  for (const LoadedState& state : checkpoint.states)
    states.push_back(
        {state.name, static_cast<int>(state.role), static_cast<int>(state.type.dtype), state.type.shape.extents()});
  const Json header{checkpoint.path.string(),
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
                    states};
  // CBOR carries strings that are not UTF-8 as they are.
  const auto packed = Json::to_cbor(header);
  const auto bytes = std::as_bytes(std::span(packed));
  return {bytes.begin(), bytes.end()};
}

LoadedCheckpoint from_header(const std::vector<std::byte>& bytes) {
  const Json h = Json::from_cbor(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                 reinterpret_cast<const std::uint8_t*>(bytes.data()) + bytes.size());
  LoadedCheckpoint checkpoint;
  checkpoint.path = h[0].get<std::string>();
  checkpoint.meta = {h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10]};
  checkpoint.file_bytes = h[11];
  for (const Json& s : h[12]) {
    const TensorType type{static_cast<DType>(s[2].get<int>()), Shape(s[3].get<Dims>())};
    checkpoint.states.push_back({s[0], static_cast<StateRole>(s[1].get<int>()), type, Tensor(type.dtype, type.shape)});
  }
  return checkpoint;
}

/// Rank 0's checkpoint on every rank.
LoadedCheckpoint shared(Communicator& comm, LoadedCheckpoint mine, const std::vector<std::byte>& header) {
  LoadedCheckpoint checkpoint = comm.rank() == 0 ? std::move(mine) : from_header(header);
  if (comm.size() == 1) return checkpoint;
  for (LoadedState& state : checkpoint.states)
    if (state.value.bytes() != 0)
      comm.start_broadcast(state.value.mutable_data(), static_cast<std::int64_t>(state.value.bytes()), 0,
                           {"checkpoint: " + state.name, checkpoint.meta.step, 0})
          ->wait();
  return checkpoint;
}

std::vector<std::byte> pack(const std::vector<RejectedCheckpoint>& rejected) {
  Json list = Json::array();
  for (const RejectedCheckpoint& r : rejected) list.push_back({r.path.string(), r.reason});
  const auto packed = Json::to_cbor(list);
  const auto bytes = std::as_bytes(std::span(packed));
  return {bytes.begin(), bytes.end()};
}

void unpack(const std::vector<std::byte>& bytes, std::vector<RejectedCheckpoint>& rejected) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  for (const Json& r : Json::from_cbor(begin, begin + bytes.size()))
    rejected.push_back({r[0].get<std::string>(), r[1].get<std::string>()});
}

std::string kind_of(StateRole role) {
  return role == StateRole::parameter ? "parameter" : role == StateRole::statistic ? "statistic" : "state";
}

}  // namespace

LoadedCheckpoint load_checkpoint(Communicator& comm, FileSystem& files, const std::filesystem::path& path) {
  LoadedCheckpoint mine;
  const auto header = on_rank_0(comm, "checkpoint: load", [&] {
    mine = load_checkpoint(files, path);
    return header_of(mine);
  });
  return shared(comm, std::move(mine), header);
}

std::optional<LoadedCheckpoint> load_newest(Communicator& comm, FileSystem& files, const std::filesystem::path& folder,
                                            std::vector<RejectedCheckpoint>& passed_over) {
  LoadedCheckpoint mine;
  std::vector<RejectedCheckpoint> rejected;
  const auto header = on_rank_0(comm, "checkpoint: find the newest", [&] {
    const auto found = newest_valid(files, folder, rejected);
    if (!found) return std::vector<std::byte>{};
    mine = load_checkpoint(files, found->path);
    return header_of(mine);
  });
  unpack(on_rank_0(comm, "checkpoint: passed over", [&] { return pack(rejected); }), passed_over);
  if (header.empty()) return std::nullopt;
  return shared(comm, std::move(mine), header);
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

void restore(StateTable& table, const LoadedCheckpoint& checkpoint) {
  for (const LoadedState& state : checkpoint.states) table.write(state.name, state.value);
}

}  // namespace weft
