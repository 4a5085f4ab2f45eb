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
  add(name, initial, scope, whole_shard({initial.dtype(), initial.shape()}));
}

void StateTable::add(const std::string& name, const InitialValue& initial, StateScope scope, Shard shard) {
  check_internal(!has(name), "state '" + name + "' is added twice");
  check_internal(shard.whole == TensorType{initial.dtype(), initial.shape()},
                 "state '" + name + "' is a part of another type than its value");
  const TensorType type = shard.local;
  StateEntry entry{type, std::move(shard),
                   device_->allocate(std::max<std::int64_t>(bytes_of(type), 1), device_->arena_space()), scope};
  if (!initial.is_zeros()) fill(entry, initial);  // memory that was just allocated is zeros
  entries_.emplace(name, std::move(entry));
}

void StateTable::fill(const StateEntry& entry, const InitialValue& whole) {
  const bool on_host = device_->arena_space() == MemorySpace::host;
  if (on_host && entry.shard.is_whole()) return whole.read({entry.memory->data(), whole.bytes()});
  const auto bytes = static_cast<std::int64_t>(whole.bytes());
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(bytes, kPiece))), part(on_host ? 0 : piece.size());
  for (std::int64_t offset = 0; offset < bytes; offset += kPiece) {
    const ByteRange range{offset, std::min(kPiece, bytes - offset)}, local = local_range(entry.shard, range);
    if (local.bytes == 0) continue;
    const auto read = std::span(piece).first(static_cast<std::size_t>(range.bytes));
    whole.read(offset, read);
    std::byte* to = on_host ? entry.memory->data() + local.offset : part.data();
    take_part(entry.shard, range, read, {to, static_cast<std::size_t>(local.bytes)});
    if (!on_host) copy_in(entry, local.offset, std::span(part).first(static_cast<std::size_t>(local.bytes)));
  }
}

void StateTable::copy_in(const StateEntry& entry, std::int64_t offset, std::span<const std::byte> from) {
  device_->copy(entry.memory->data() + offset, device_->arena_space(), from.data(), MemorySpace::host,
                static_cast<std::int64_t>(from.size()), Lane::compute);
  device_->synchronize(Lane::compute);
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
  write_bytes(name, 0, {value.data(), value.bytes()});
}

void StateTable::write_part(const std::string& name, const Tensor& whole) {
  const Shard& shard = at(name).shard;
  check_internal(shard.whole == TensorType{whole.dtype(), whole.shape()},
                 "state '" + name + "' is a part of " + shard.whole.str() + ", written with " +
                     TensorType{whole.dtype(), whole.shape()}.str());
  device_->synchronize(Lane::compute);  // after every update that was enqueued before
  fill(at(name), InitialValue(whole));
}

void StateTable::write_bytes(const std::string& name, std::int64_t offset, std::span<const std::byte> from) {
  const StateEntry& entry = at(name);
  check_internal(offset >= 0 && offset + std::ssize(from) <= bytes_of(entry.type),
                 "write beyond the end of state '" + name + "'");
  if (!from.empty()) copy_in(entry, offset, from);
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
