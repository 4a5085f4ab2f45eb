// A record is believed only as far as each of its fields makes sense.
#include "src/faults/rank_records.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

namespace weft {
namespace {

constexpr int kMostRanks = 1 << 24;

template <std::size_t N>
std::string text_of(const char (&field)[N]) {
  std::string text(field, strnlen(field, N));
  // Nothing but printable characters and line ends reaches a terminal.
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
  return text;
}

bool whole(const RankRecord::Slot& slot) {
  return slot.begin == slot.end && slot.begin != 0 && slot.state <= static_cast<std::uint32_t>(RankState::failed) &&
         std::isfinite(slot.wall) && std::isfinite(slot.monotonic);
}

bool sound_head(const RankRecord& r) {
  return r.magic == RankRecord::kMagic && r.version == RankRecord::kVersion && r.ranks >= 1 && r.ranks <= kMostRanks &&
         r.rank >= 0 && r.rank < r.ranks && r.pid > 0;
}

}  // namespace

std::string this_host() {
  char name[64] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

std::uint64_t process_start_ticks(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text, '\0');
  // The command, in parentheses, may hold anything; the start time is the 20th field after it.
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return 0;
  std::size_t at = end + 1;
  for (int field = 0; field < 20; ++field) {
    at = text.find(' ', at);
    if (at == std::string::npos) return 0;
    if (field == 0 && at + 1 < text.size() && (text[at + 1] == 'Z' || text[at + 1] == 'X')) return 0;  // dead
    ++at;
  }
  std::uint64_t ticks = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), ticks);
  return ticks;
}

std::filesystem::path rank_record_path(const std::filesystem::path& run_folder, int rank) {
  return run_folder / "ranks" / fmt::format("{}", rank);
}

std::optional<LastOperation> read_last_operation(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return std::nullopt;
  std::ifstream stream(file, std::ios::binary);
  RankRecord r;
  if (!stream.read(reinterpret_cast<char*>(&r), sizeof r) || !sound_head(r)) return std::nullopt;

  const RankRecord::Slot* slot = nullptr;
  for (const auto& candidate : r.slots)
    if (whole(candidate) && (!slot || candidate.begin > slot->begin)) slot = &candidate;
  if (!slot) return std::nullopt;

  LastOperation result;
  result.rank = r.rank;
  result.ranks = r.ranks;
  result.pid = r.pid;
  result.process_start = r.process_start;
  result.run = r.run;
  result.host = text_of(r.host);
  result.step = slot->step;
  result.instruction = slot->instruction;
  result.operation = text_of(slot->operation);
  result.state = static_cast<RankState>(slot->state);
  result.monotonic = slot->monotonic;
  result.wall = slot->wall;
  result.terminate_signal = r.terminate_signal;
  result.crash_signal = r.crash_signal;
  result.finished = r.finished == 1 && r.reason <= static_cast<std::uint32_t>(ExitReason::lost_peer);
  if (result.finished) {
    result.reason = static_cast<ExitReason>(r.reason);
    result.message = text_of(r.message);
  }
  return result;
}

RankRecords read_rank_records(const std::filesystem::path& run_folder) {
  std::vector<LastOperation> all;
  std::error_code error;
  for (std::filesystem::directory_iterator it(run_folder / "ranks", error), end; !error && it != end;
       it.increment(error)) {
    auto record = read_last_operation(it->path());
    if (record && it->path().filename() == fmt::format("{}", record->rank)) all.push_back(std::move(*record));
  }
  RankRecords result;
  std::uint64_t newest = 0;
  int ranks = 0;
  for (const auto& record : all) newest = std::max(newest, record.run);
  for (auto& record : all)
    if (record.run == newest) {
      ranks = std::max(ranks, record.ranks);
      result.found.push_back(std::move(record));
    }
  std::sort(result.found.begin(), result.found.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  std::set<int> present;
  for (const auto& record : result.found) present.insert(record.rank);
  // A count that a broken file made up must not fill the memory.
  for (int r = 0; r < ranks && result.unreadable.size() < 1000; ++r)
    if (!present.count(r)) result.unreadable.push_back(r);
  return result;
}

Alive is_alive(const LastOperation& record) {
  if (record.host != this_host()) return Alive::unknown;
  if (kill(record.pid, 0) != 0 && errno == ESRCH) return Alive::no;
  return process_start_ticks(record.pid) == record.process_start ? Alive::yes : Alive::no;
}

std::string describe_rank(const std::filesystem::path& run_folder, int rank) {
  const auto record = read_last_operation(rank_record_path(run_folder, rank));
  if (!record) return "last operation unknown";
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string text = fmt::format("{} '{}' at step {} (host {}), since {:.1f} s", name_of(record->state),
                                 record->operation, record->step, record->host, std::max(0.0, now - record->wall));
  if (record->crash_signal) text += fmt::format("; crashed with signal {}", record->crash_signal);
  if (!record->ended() && is_alive(*record) == Alive::no) text += "; its process is gone";
  return text;
}

}  // namespace weft
