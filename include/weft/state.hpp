// StateTable: the named buffers that outlive Programs: parameters, moments, running statistics, counters.
//
// Each has one canonical layout (row-major, logical order): what checkpoints store, hashes cover and users see. A rank
// may hold a part of a state only (weft/shard.hpp); types, bytes and values are those of the part.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weft/device.hpp"
#include "weft/graph.hpp"
#include "weft/shard.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// Whether a state is part of the run (saved, hashed, equal on all ranks) or only of a step (gradient accumulators:
/// each rank's own, worthless between steps).
enum class StateScope : std::uint8_t { lasting, transient };

struct StateEntry {
  TensorType type;  ///< of what this rank holds
  Shard shard;      ///< and which part of the whole state that is
  std::unique_ptr<Allocation> memory;
  StateScope scope = StateScope::lasting;
};

class StateTable {
 public:
  explicit StateTable(Device& device) : device_(&device) {}

  /// Allocates and fills. Throws InternalError when the name exists; or as the value's source does, and then nothing is
  /// added.
  void add(const std::string& name, const InitialValue& initial, StateScope scope = StateScope::lasting);
  /// Only this rank's part of the value, read piece by piece.
  void add(const std::string& name, const InitialValue& initial, StateScope scope, Shard shard);
  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  const StateEntry& at(const std::string& name) const;
  /// Copies to and from the host; types must match.
  Tensor read(const std::string& name) const;
  void write(const std::string& name, const Tensor& value);
  /// This rank's part of a whole value.
  void write_part(const std::string& name, const Tensor& whole);
  /// A part of the bytes of one state, from byte `offset` on, after every update enqueued before.
  void read_bytes(const std::string& name, std::int64_t offset, std::span<std::byte> to) const;
  /// The reverse.
  void write_bytes(const std::string& name, std::int64_t offset, std::span<const std::byte> from);
  std::vector<std::string> names() const;  ///< of lasting states, sorted
  std::int64_t bytes() const;              ///< that this rank holds
  /// Content hash over (name, type, bits) of all lasting states in name order: equal states, equal hash.
  std::uint64_t hash() const;
  /// The same of one state.
  std::uint64_t hash(const std::string& name) const;

 private:
  /// Copies this rank's part of a whole value.
  void fill(const StateEntry& entry, const InitialValue& whole);
  void copy_in(const StateEntry& entry, std::int64_t offset, std::span<const std::byte> from);

  Device* device_;
  std::map<std::string, StateEntry> entries_;
};

}  // namespace weft
