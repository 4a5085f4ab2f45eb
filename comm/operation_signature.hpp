// OperationSignature: what must be equal on all ranks of an operation. It opens every exchange, so that ranks that are
// not in the same operation find out before they touch each other's data, and it is what the flight log keeps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weft/communicator.hpp"

namespace weft {

/// As it travels, in the machine's byte order: all ranks of a job have the same.
struct OperationSignature {
  static constexpr std::uint64_t kMagic = 0x314e45504f544657u;  // "WFTOPEN1"

  std::uint64_t magic = kMagic;
  std::uint64_t group = 0;     ///< equal on its members, and of no other group of a job
  std::uint64_t sequence = 0;  ///< from 1: among the group's collectives, or the messages from one rank to another
  std::int64_t step = 0;
  std::int64_t count = 0;       ///< elements as the call names them
  std::uint64_t name_hash = 0;  ///< of the whole name; 0: names are not compared
  std::int32_t root = -1;       ///< broadcast, within the group; -1: none
  std::int32_t label_sequence = 0;
  std::uint8_t kind = 0;  ///< CollectiveKind; of a message always `send`
  std::uint8_t reduce = 0;
  std::uint8_t dtype = 0;
  std::uint8_t spare[5] = {};
  char name[64] = {};  ///< ended, cut where it is longer; not compared

  bool reduces() const;
  /// "all-reduce of 1048576 f32 (sum), 'gradients 3' (step 7, sequence 4)".
  std::string str() const;
};
static_assert(sizeof(OperationSignature) == 128);

/// Of a message (kind send or receive) neither step nor name is compared: the sides may see it differently.
OperationSignature make_signature(CollectiveKind kind, std::int64_t count, DType type, ReduceKind reduce, int root,
                                  const OperationLabel& label);

/// Whether every field makes sense, so that bytes of another origin are not believed.
bool is_sound(const OperationSignature& signature);

/// "" when two ranks may exchange data; otherwise what differs: "kind, count".
std::string what_differs(const OperationSignature& a, const OperationSignature& b);

std::string_view name_of(CollectiveKind kind);
std::string_view name_of(ReduceKind kind);

}  // namespace weft
