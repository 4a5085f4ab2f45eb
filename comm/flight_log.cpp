// Writing and reading of flight logs. The order of stores is that of src/faults/last_operation.cpp's slots.
#include "comm/flight_log.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

namespace weft {
namespace {

double wall_seconds() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);  // no system call: the kernel maps it into the process
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  const std::size_t n = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

template <std::size_t N>
std::string printable(const char (&field)[N]) {
  std::string text(field, strnlen(field, N));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return text;
}

void store(std::uint64_t& field, std::uint64_t value, std::memory_order order) {
  std::atomic_ref<std::uint64_t>(field).store(value, order);
}

bool whole(const FlightEntry& e) {
  return e.begin != 0 && e.begin == e.end && is_sound(e.signature) &&
         e.state <= static_cast<std::uint32_t>(FlightState::failed) && e.group_size > 0 && std::isfinite(e.started) &&
         std::isfinite(e.finished);
}

FlightRecord record_of(const FlightEntry& e) {
  FlightRecord r;
  r.number = e.begin;
  r.signature = e.signature;
  r.group_size = e.group_size;
  r.peer = e.peer;
  r.sends = e.sends == 1;
  r.state = static_cast<FlightState>(e.state);
  r.started = e.started;
  r.finished = e.finished;
  r.group_name = printable(e.group_name);
  r.place = printable(e.place);
  for (char& c : r.signature.name)
    if (c != '\0' && static_cast<unsigned char>(c) < 0x20) c = '?';
  return r;
}

}  // namespace

std::string_view name_of(FlightState state) {
  constexpr std::string_view kNames[] = {"not finished", "finished", "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string FlightRecord::str() const {
  const std::string where = peer < 0 ? fmt::format("of group '{}'", group_name)
                                     : fmt::format("{} rank {} in group '{}'", sends ? "to" : "from", peer, group_name);
  return fmt::format("#{} {}: {}{}{}", signature.sequence, where, signature.str(), place.empty() ? "" : ", at ", place);
}

FlightLog::FlightLog(int rank, int ranks, std::uint64_t run, std::shared_ptr<std::byte> memory)
    : memory_(memory ? std::move(memory)
                     : std::shared_ptr<std::byte>(new std::byte[kBytes](), std::default_delete<std::byte[]>())),
      head_(reinterpret_cast<FlightHead*>(memory_.get())),
      entries_(reinterpret_cast<FlightEntry*>(memory_.get() + sizeof(FlightHead))) {
  head_->entries = FlightHead::kEntries;
  head_->rank = rank;
  head_->ranks = ranks;
  head_->run = run;
  store(head_->magic, FlightHead::kMagic, std::memory_order_release);
}

std::uint64_t FlightLog::start(const Start& operation) noexcept {
  FlightEntry& e = entries_[++number_ % FlightHead::kEntries];
  store(e.begin, number_, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  e.signature = operation.signature;
  e.group_size = operation.group_size;
  e.peer = operation.peer;
  e.sends = operation.sends ? 1 : 0;
  e.state = static_cast<std::uint32_t>(FlightState::started);
  e.started = wall_seconds();
  e.finished = 0;
  copy_text(e.group_name, operation.group_name);
  copy_text(e.place, operation.place);
  store(e.end, number_, std::memory_order_release);
  return number_;
}

void FlightLog::end(std::uint64_t number, bool failed) noexcept {
  FlightEntry& e = entries_[number % FlightHead::kEntries];
  if (e.begin != number) return;  // long overwritten
  e.finished = wall_seconds();
  std::atomic_ref<std::uint32_t>(e.state).store(
      static_cast<std::uint32_t>(failed ? FlightState::failed : FlightState::finished), std::memory_order_release);
}

RankFlight FlightLog::read() const { return *read_flight({memory_.get(), kBytes}); }

std::optional<RankFlight> read_flight(std::span<const std::byte> memory) {
  FlightHead head;
  if (memory.size() < FlightLog::kBytes) return std::nullopt;
  std::memcpy(&head, memory.data(), sizeof head);
  if (head.magic != FlightHead::kMagic || head.entries != FlightHead::kEntries || head.ranks < 1 || head.rank < 0 ||
      head.rank >= head.ranks)
    return std::nullopt;
  RankFlight flight{head.rank, head.ranks, head.run, {}};
  for (std::size_t i = 0; i < FlightHead::kEntries; ++i) {
    FlightEntry entry;
    std::memcpy(&entry, memory.data() + sizeof head + i * sizeof entry, sizeof entry);
    if (whole(entry)) flight.records.push_back(record_of(entry));
  }
  std::sort(flight.records.begin(), flight.records.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  return flight;
}

}  // namespace weft
