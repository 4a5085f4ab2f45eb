// StateTable: named device buffers, read, written and hashed through the host.
#include "weft/state.hpp"

#include <algorithm>
#include <vector>

#include "weft/hash.hpp"

namespace weft {
namespace {

constexpr std::int64_t kPiece = 4 << 20;  // bytes on the host at a time

std::int64_t bytes_of(const TensorType& type) {
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

}  // namespace

void StateTable::add(const std::string& name, const InitialValue& initial, StateScope scope) {
  check_internal(!has(name), "state '" + name + "' is added twice");
  const auto bytes = static_cast<std::int64_t>(initial.bytes());
  StateEntry entry{{initial.dtype(), initial.shape()},
                   device_->allocate(std::max<std::int64_t>(bytes, 1), device_->arena_space()),
                   scope};
  if (initial.is_zeros()) {  // so is memory that was just allocated
    entries_.emplace(name, std::move(entry));
  } else if (device_->arena_space() == MemorySpace::host) {
    initial.read({entry.memory->data(), initial.bytes()});
    entries_.emplace(name, std::move(entry));
  } else {
    const Tensor value = initial.value();
    entries_.emplace(name, std::move(entry));
    write(name, value);
  }
}

const StateEntry& StateTable::at(const std::string& name) const {
  const auto it = entries_.find(name);
  check_internal(it != entries_.end(), "there is no state '" + name + "'");
  return it->second;
}

void StateTable::read_bytes(const std::string& name, std::int64_t offset, std::span<std::byte> to) const {
  const StateEntry& entry = at(name);
  const auto count = static_cast<std::int64_t>(to.size());
  check_internal(offset >= 0 && offset + count <= bytes_of(entry.type), "read beyond the end of state '" + name + "'");
  if (count == 0) return;
  // On the compute lane: after every update that was enqueued before.
  device_->copy(to.data(), MemorySpace::host, entry.memory->data() + offset, device_->arena_space(), count,
                Lane::compute);
  device_->synchronize(Lane::compute);
}

Tensor StateTable::read(const std::string& name) const {
  const StateEntry& entry = at(name);
  Tensor value(entry.type.dtype, entry.type.shape);
  read_bytes(name, 0, {value.mutable_data(), value.bytes()});
  return value;
}

void StateTable::write(const std::string& name, const Tensor& value) {
  const StateEntry& entry = at(name);
  check_internal(entry.type == TensorType{value.dtype(), value.shape()},
                 "state '" + name + "' is " + entry.type.str() + ", written with " +
                     TensorType{value.dtype(), value.shape()}.str());
  if (value.bytes() == 0) return;
  device_->copy(entry.memory->data(), device_->arena_space(), value.data(), MemorySpace::host,
                static_cast<std::int64_t>(value.bytes()), Lane::compute);
  device_->synchronize(Lane::compute);
}

std::vector<std::string> StateTable::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_)
    if (entry.scope == StateScope::lasting) names.push_back(name);
  return names;
}

std::int64_t StateTable::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, entry] : entries_) total += bytes_of(entry.type);
  return total;
}

std::uint64_t StateTable::hash(const std::string& name) const {
  const TensorType& type = at(name).type;
  Hash64 hash;
  // The terminating zeros keep ("a", "bc") and ("ab", "c") apart.
  hash.update(name);
  hash.update(std::string_view("\0", 1));
  hash.update(type.str());
  hash.update(std::string_view("\0", 1));
  const std::int64_t bytes = bytes_of(type);
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(bytes, kPiece)));
  for (std::int64_t offset = 0; offset < bytes; offset += kPiece) {
    const auto part = std::span(piece).first(static_cast<std::size_t>(std::min(kPiece, bytes - offset)));
    read_bytes(name, offset, part);
    hash.update(part);
  }
  return hash.digest();
}

std::uint64_t StateTable::hash() const {
  Hash64 all;
  for (const std::string& name : names()) {
    const std::uint64_t one = hash(name);
    all.update(std::as_bytes(std::span(&one, 1)));
  }
  return all.digest();
}

}  // namespace weft
