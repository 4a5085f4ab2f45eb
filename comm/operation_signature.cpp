// Making, printing and comparing of signatures.
#include "comm/operation_signature.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "weft/hash.hpp"

namespace weft {

std::string_view name_of(CollectiveKind kind) {
  constexpr std::string_view kNames[] = {"all-reduce", "all-gather", "reduce-scatter", "all-to-all",
                                         "broadcast",  "send",       "receive"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view name_of(ReduceKind kind) {
  constexpr std::string_view kNames[] = {"sum", "max", "min"};
  return kNames[static_cast<std::size_t>(kind)];
}

bool OperationSignature::reduces() const {
  const auto k = static_cast<CollectiveKind>(kind);
  return k == CollectiveKind::all_reduce || k == CollectiveKind::reduce_scatter;
}

std::string OperationSignature::str() const {
  const auto k = static_cast<CollectiveKind>(kind);
  std::string text = fmt::format("{} of {} ", name_of(k), count);
  if (k == CollectiveKind::broadcast)
    text += fmt::format("bytes from rank {}", root);
  else if (k == CollectiveKind::send)
    text += "bytes";
  else
    text += name_of(static_cast<DType>(dtype));
  if (reduces()) text += fmt::format(" ({})", name_of(static_cast<ReduceKind>(reduce)));
  return text + fmt::format(", '{}' (step {}, sequence {})", name, step, label_sequence);
}

OperationSignature make_signature(CollectiveKind kind, std::int64_t count, DType type, ReduceKind reduce, int root,
                                  const OperationLabel& label) {
  const bool message = kind == CollectiveKind::send || kind == CollectiveKind::receive;
  OperationSignature s;
  s.kind = static_cast<std::uint8_t>(message ? CollectiveKind::send : kind);
  s.count = count;
  s.dtype = static_cast<std::uint8_t>(type);
  s.reduce = static_cast<std::uint8_t>(reduce);
  s.root = root;
  s.step = label.step;
  s.label_sequence = label.sequence;
  if (!message && label.same_name) s.name_hash = std::max<std::uint64_t>(1, hash64(label.name));
  std::memcpy(s.name, label.name.data(), std::min(label.name.size(), sizeof s.name - 1));
  return s;
}

bool is_sound(const OperationSignature& s) {
  return s.magic == OperationSignature::kMagic && s.kind <= static_cast<std::uint8_t>(CollectiveKind::receive) &&
         s.reduce <= static_cast<std::uint8_t>(ReduceKind::min) && s.dtype < static_cast<std::uint8_t>(kDTypeCount) &&
         s.name[sizeof s.name - 1] == '\0';
}

std::string what_differs(const OperationSignature& a, const OperationSignature& b) {
  std::string text;
  const auto compare = [&](bool same, std::string_view what) {
    if (!same) text += fmt::format("{}{}", text.empty() ? "" : ", ", what);
  };
  const bool message = a.kind == static_cast<std::uint8_t>(CollectiveKind::send) && b.kind == a.kind;
  compare(a.group == b.group, "group");
  compare(a.kind == b.kind, "kind");
  compare(a.count == b.count, "count");
  compare(a.dtype == b.dtype, "type");
  compare(!(a.reduces() && b.reduces()) || a.reduce == b.reduce, "reduction");
  compare(a.root == b.root, "root");
  compare(a.sequence == b.sequence, "position");
  if (message) return text;
  compare(a.step == b.step, "step");
  compare(a.name_hash == 0 || b.name_hash == 0 || a.name_hash == b.name_hash, "name");
  return text;
}

}  // namespace weft
