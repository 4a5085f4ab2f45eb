// FlightLog: the last operations of one rank, in plain memory that may be a mapped file, so that it outlives the rank.
//
// An entry is written when its operation starts and once more when it ends; each is a few copies and a clock, no system
// call and no lock of its own. A reader in another process takes entries whose two marks agree, and judges every field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/operation_signature.hpp"

namespace weft {

enum class FlightState : std::uint32_t { started, finished, failed };
std::string_view name_of(FlightState state);

/// The memory's content: a head, then a ring of entries. Integers as the machine has them.
struct FlightEntry {
  std::uint64_t begin;  ///< written first, and equal to `end` when the entry is whole: the operation's number, from 1
  OperationSignature signature;
  std::int32_t group_size;
  std::int32_t peer;  ///< world rank of a message's other side; -1: a collective
  std::uint32_t sends;
  std::uint32_t state;
  double started, finished;  ///< seconds since 1970
  char group_name[40];
  char place[128];
  std::uint64_t end;
};

struct FlightHead {
  static constexpr std::uint64_t kMagic = 0x3147494c46544657u;  // "WFTFLIG1"
  static constexpr std::uint32_t kEntries = 256;

  std::uint64_t magic;  ///< written last
  std::uint32_t entries;
  std::int32_t rank, ranks;
  std::uint32_t spare;
  std::uint64_t run;  ///< equal on all ranks of one start, and growing
};

/// One operation as a reader finds it.
struct FlightRecord {
  std::uint64_t number = 0;
  OperationSignature signature;
  int group_size = 0, peer = -1;
  bool sends = false;
  FlightState state = FlightState::started;
  double started = 0, finished = 0;
  std::string group_name, place;

  /// "#17 of group 'data': all-reduce of …, at node_3: finished".
  std::string str() const;
};

/// What a rank's log holds, oldest first.
struct RankFlight {
  int rank = 0, ranks = 1;
  std::uint64_t run = 0;
  std::vector<FlightRecord> records;
};

class FlightLog {
 public:
  static constexpr std::size_t kBytes = sizeof(FlightHead) + FlightHead::kEntries * sizeof(FlightEntry);

  /// `memory` holds kBytes, zeroes, aligned for a double. Without memory it makes its own.
  FlightLog(int rank, int ranks, std::uint64_t run, std::shared_ptr<std::byte> memory = nullptr);

  struct Start {
    const OperationSignature& signature;
    int group_size;
    std::string_view group_name, place;
    int peer = -1;
    bool sends = false;
  };
  /// The operation's number. One call at a time: the communication thread's lock orders them.
  std::uint64_t start(const Start& operation) noexcept;
  /// From one thread at a time.
  void end(std::uint64_t number, bool failed) noexcept;

  /// What it holds now.
  RankFlight read() const;

 private:
  std::shared_ptr<std::byte> memory_;
  FlightHead* head_;
  FlightEntry* entries_;
  std::uint64_t number_ = 0;
};

/// Of memory that may hold anything; absent when it is no flight log.
std::optional<RankFlight> read_flight(std::span<const std::byte> memory);

/// Where the logs of several ranks part first: "ranks are not in one operation: …", one line for each thing that ranks
/// do; or who has not come to what others wait for. "" when they agree as far as they reach.
std::string first_flight_difference(const std::vector<RankFlight>& ranks);

}  // namespace weft
