// Who was the first to go? Survivors of a dead rank are killed too, by SIGTERM, which leaves a mark in their records;
// SIGKILL leaves none. So the culprit is the one without a mark.
#include "src/faults/exit_report.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "src/faults/rank_records.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::string who(const LastOperation& r) { return fmt::format("rank {} (host {})", r.rank, r.host); }
std::string where(const LastOperation& r) { return fmt::format("at step {} in '{}'", r.step, r.operation); }

ExitReport report_of(const LastOperation& r, ExitReason reason, std::string message) {
  return {reason, r.rank, r.step, r.operation, std::move(message)};
}

bool failed_on_its_own(const LastOperation& r) {
  return r.crash_signal != 0 || (r.finished && r.state == RankState::failed && r.reason != ExitReason::lost_peer);
}

bool gone(const LastOperation& r, const ComposeOptions& options) {
  switch (is_alive(r)) {
    case Alive::no: return true;
    case Alive::yes: return false;
    case Alive::unknown: break;
  }
  return options.job_is_over || std::count(options.missing_ranks.begin(), options.missing_ranks.end(), r.rank) != 0;
}

// Survivors wait where the culprit has not been: the one least far is the most likely.
const LastOperation* least_far(const std::vector<const LastOperation*>& records) {
  const auto position = [](const LastOperation* r) {
    return std::tuple(r->step, r->instruction, r->state == RankState::waiting, r->wall);
  };
  return *std::min_element(records.begin(), records.end(),
                           [&](const auto* a, const auto* b) { return position(a) < position(b); });
}

// What ranks do together fails on all of them with one message, which begins with where it failed: "rank 2: …".
ExitReport failure(const LastOperation& r, const std::vector<LastOperation>& all) {
  if (r.crash_signal)
    return report_of(r, ExitReason::killed,
                     fmt::format("{} crashed with signal {} {}", who(r), r.crash_signal, where(r)));
  for (const LastOperation& origin : all)
    if (const std::string begin = fmt::format("rank {}: ", origin.rank); r.message.starts_with(begin))
      return report_of(origin, r.reason,
                       fmt::format("{} failed {}: {}", who(origin), where(origin), r.message.substr(begin.size())));
  return report_of(r, r.reason, fmt::format("{} failed {}: {}", who(r), where(r), r.message));
}

ExitReport vanished(const std::vector<const LastOperation*>& records) {
  const LastOperation& r = *least_far(records);
  return report_of(r, ExitReason::killed, fmt::format("{} was killed by signal 9 {}", who(r), where(r)));
}

ExitReport terminated(const std::vector<const LastOperation*>& records) {
  const LastOperation& r = *least_far(records);
  ExitReport report =
      report_of(r, ExitReason::killed,
                fmt::format("the job was ended by signal {}: {} was {}", r.terminate_signal, who(r), where(r)));
  if (records.size() > 1) report.rank = -1;
  return report;
}

}  // namespace

std::optional<ExitReport> compose_exit_report(const std::filesystem::path& run_folder, const ComposeOptions& options) {
  const RankRecords records = read_rank_records(run_folder);
  if (records.found.empty() || records.found.front().run < options.since) return std::nullopt;

  std::vector<const LastOperation*> failed, unmarked, marked, lost, stopped;
  bool running = false;
  for (const LastOperation& r : records.found) {
    if (failed_on_its_own(r))
      failed.push_back(&r);
    else if (r.finished && r.reason == ExitReason::lost_peer)
      lost.push_back(&r);
    else if (r.finished && r.state == RankState::stopped)
      stopped.push_back(&r);
    else if (r.finished)
      continue;
    else if (!gone(r, options))
      running = true;
    else
      (r.terminate_signal ? marked : unmarked).push_back(&r);
  }

  if (!failed.empty())
    return failure(**std::min_element(failed.begin(), failed.end(), [](auto* a, auto* b) { return a->wall < b->wall; }),
                   records.found);
  if (!unmarked.empty()) return vanished(unmarked);
  const bool somebody_suffered = !marked.empty() || !lost.empty();
  if (!records.unreadable.empty() && (somebody_suffered || !running))
    return ExitReport{ExitReason::killed, records.unreadable.front(), records.found.front().step, "",
                      fmt::format("rank {} left no record of what it did: it was killed early, or the file is damaged",
                                  fmt::join(records.unreadable, ", "))};
  if (!marked.empty()) return terminated(marked);
  if (!lost.empty())
    return report_of(
        *lost.front(), ExitReason::lost_peer,
        fmt::format("{} lost a peer {}: {}", who(*lost.front()), where(*lost.front()), lost.front()->message));
  if (running) return std::nullopt;
  const LastOperation& any = stopped.empty() ? records.found.front() : *stopped.front();
  return ExitReport{any.reason, -1, any.step, any.operation, any.message};
}

std::vector<int> untold_elsewhere(const std::filesystem::path& run_folder) {
  std::vector<int> ranks;
  for (const LastOperation& r : read_rank_records(run_folder).found)
    if (!r.ended() && r.terminate_signal == 0 && is_alive(r) == Alive::unknown) ranks.push_back(r.rank);
  return ranks;
}

void write_exit_json(const std::filesystem::path& file, const ExitReport& report) {
  nlohmann::ordered_json json{{"reason", name_of(report.reason)}};
  if (report.rank >= 0) json["rank"] = report.rank;
  json["step"] = report.step;
  json["operation"] = report.operation;
  json["message"] = report.message;
  // Bytes that are not UTF-8 (a file name, say) must not stop the report.
  const std::string text = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";

  // Two threads may write at a time.
  const std::string aside = file.string() + fmt::format(".{}", gettid());
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) throw SystemError::from_errno(aside, errno);
  int code = 0;
  for (std::size_t at = 0; at < text.size() && code == 0;) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n >= 0)
      at += static_cast<std::size_t>(n);
    else if (errno != EINTR)
      code = errno;
  }
  if (code == 0 && fsync(fd) != 0) code = errno;
  if (close(fd) != 0 && code == 0) code = errno;
  if (code == 0 && rename(aside.c_str(), file.c_str()) != 0) code = errno;
  if (code != 0) {
    unlink(aside.c_str());
    throw SystemError::from_errno(file.string(), code);
  }
}

std::optional<ExitReport> read_exit_json(const std::filesystem::path& file) {
  std::ifstream stream(file);
  const nlohmann::json json = nlohmann::json::parse(stream, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  ExitReport report;
  try {
    const std::string reason = json.value("reason", "");
    bool known = false;
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(ExitReason::lost_peer); ++i)
      if (name_of(static_cast<ExitReason>(i)) == reason) {
        report.reason = static_cast<ExitReason>(i);
        known = true;
      }
    if (!known) return std::nullopt;
    report.rank = json.value("rank", -1);
    report.step = json.value("step", std::int64_t{0});
    report.operation = json.value("operation", "");
    report.message = json.value("message", "");
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  return report;
}

}  // namespace weft
