// Rounds, margins and notes.
#include "kernels/cpu/schedule_tuner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/cpu/scratch_operands.hpp"
#include "weft/memory_limit.hpp"

namespace weft::cpu {
namespace {

using loops::RowsSchedule;

constexpr double kMargin = 1.10;    ///< times faster than the default where no cache holds the operands
constexpr double kMostLoss = 1.02;  ///< times slower on operands that were just used

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What is known of a kernel: a schedule, or that so many seconds did not suffice.
struct Note {
  std::string schedule;  ///< empty: not tried
  double number = 1;     ///< the speed-up, or the seconds

  std::string text() const {
    return schedule.empty() ? fmt::format("untried {:.3f}", number) : fmt::format("{:.3f} {}", number, schedule);
  }
};

std::optional<Note> read_note(std::string_view text, int register_bytes) {
  constexpr std::string_view kUntried = "untried ";
  Note note;
  const bool untried = text.starts_with(kUntried);
  if (untried) text.remove_prefix(kUntried.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), note.number);
  if (error != std::errc{} || !std::isfinite(note.number) || note.number < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (untried) return text.empty() ? std::optional(note) : std::nullopt;
  if (!text.starts_with(' ') || !loops::schedule_from(text.substr(1), register_bytes)) return std::nullopt;
  note.schedule = text.substr(1);
  return note;
}

/// A kernel that may be tuned.
struct Subject {
  const KernelUse* use = nullptr;
  std::string key;
  loops::Kernel kernel;                 ///< the default's
  std::vector<RowsSchedule> schedules;  ///< the default first
};

class Tuner {
 public:
  Tuner(const Context& context, ScheduleChoices& choices, const TuningOptions& options)
      : context_(context),
        choices_(choices),
        options_(options),
        clock_(options.clock ? options.clock : steady_seconds),
        began_(clock_()),
        about_(note_heading(context.threads)) {}

  std::vector<TunedKernel> run(std::span<const KernelUse> uses) {
    std::vector<Subject> open;
    for (Subject& subject : subjects(uses)) {
      const auto text = context_.compiler->noted(about_, subject.kernel);
      const auto note = text ? read_note(*text, register_bytes()) : std::nullopt;
      if (note && !note->schedule.empty())
        settle(subject, *note);
      else if (options_.seconds > 0 && !(note && note->number >= options_.seconds))
        open.push_back(std::move(subject));
    }
    for (Subject& subject : open) {
      std::optional<Note> note = measured(subject);
      if (!note) {
        if (stopped() || !context_.compiler->keeps()) break;
        if (time_left()) continue;  // no memory for it
        note = Note{"", options_.seconds};
      }
      context_.compiler->note(about_, subject.kernel, note->text());
      if (!note->schedule.empty()) settle(subject, *note);
      if (!context_.compiler->keeps()) break;  // it could not be written: every start would measure anew
    }
    return std::move(result_);
  }

 private:
  bool time_left() const { return clock_() - began_ < options_.seconds; }
  bool stopped() const { return options_.stop && options_.stop(); }

  int register_bytes() const { return context_.compiler->register_bytes(); }

  std::vector<Subject> subjects(std::span<const KernelUse> uses) {
    std::vector<Subject> result;
    std::set<std::string> seen;
    for (const KernelUse& use : uses) {
      const KernelSpec& spec = *use.spec;
      if (spec.implementation != "generated" || spec.bytes * use.launches < options_.least_bytes ||
          static_cast<double>(launch_bytes(spec)) > options_.most_bytes)
        continue;
      Subject subject{&use, spec.key(), {}, {RowsSchedule{register_bytes()}}};
      if (!seen.insert(subject.key).second) continue;
      auto kernel = scheduled_loops(spec, subject.schedules.front());
      if (!kernel) continue;
      subject.kernel = std::move(*kernel);
      std::set<std::string> texts{subject.kernel.str()};
      for (const RowsSchedule& other : loops::alternatives(register_bytes()))
        if (!(other.streaming && !may_stream(use)) && texts.insert(scheduled_loops(spec, other)->str()).second)
          subject.schedules.push_back(other);
      if (subject.schedules.size() > 1) result.push_back(std::move(subject));
    }
    std::stable_sort(result.begin(), result.end(), [](const Subject& a, const Subject& b) {
      return a.use->spec->bytes * a.use->launches > b.use->spec->bytes * b.use->launches;
    });
    return result;
  }

  /// Not where whoever reads the results would find them in the cache, or where they are there as operands.
  static bool may_stream(const KernelUse& use) {
    std::int64_t written = 0;
    const Graph& body = use.spec->body;
    for (std::size_t o = 0; o < body.outputs().size(); ++o) {
      const ValueId v = body.outputs()[o].value;
      if (o < use.over.size() && use.over[o] >= 0) return false;
      written += body.layout(v).bytes(body.type(v).dtype);
    }
    return written >= last_level_cache_bytes() / 2;
  }

  void settle(const Subject& subject, const Note& note) {
    const auto schedule = loops::schedule_from(note.schedule, register_bytes());
    if (*schedule != subject.schedules.front()) choices_.choose(subject.key, *schedule);
    result_.push_back({subject.key, note.schedule, note.number});
  }

  std::vector<double> times(std::span<const CpuKernel* const> kernels, const KernelUse& use, TuningRound round) {
    if (options_.stopwatch) return options_.stopwatch(kernels, use, round);
    return operands_.fastest(kernels, use, round == TuningRound::cold, go_on_);
  }

  /// By how much each of `others` is faster than the default where no cache holds the operands; 0 where it is not so
  /// clearly, or slower on operands that were just used. Empty: there was no time for it.
  std::vector<double> gains(const Subject& subject, std::span<const RowsSchedule> others) {
    std::vector<ScheduledSpec> wanted{{subject.use->spec, subject.schedules.front()}};
    for (const RowsSchedule& s : others) wanted.push_back({subject.use->spec, s});
    // As many at once as there are threads, to read the clock between.
    std::vector<std::unique_ptr<CpuKernel>> compiled;
    const auto team = static_cast<std::size_t>(std::max(context_.threads, 1));
    while (compiled.size() < wanted.size()) {
      if (!go_on_()) return {};
      const auto rest = std::span(wanted).subspan(compiled.size());
      for (auto& kernel : compile_scheduled(rest.first(std::min(team, rest.size())), context_))
        compiled.push_back(std::move(kernel));
    }
    std::vector<const CpuKernel*> kernels;
    for (const auto& kernel : compiled) kernels.push_back(kernel.get());
    const auto cold = go_on_() ? times(kernels, *subject.use, TuningRound::cold) : std::vector<double>{};
    const auto warm = go_on_() ? times(kernels, *subject.use, TuningRound::warm) : std::vector<double>{};
    std::vector<double> result;
    for (std::size_t i = 1; i < std::min(cold.size(), warm.size()); ++i) {
      const bool wins = cold[0] >= kMargin * cold[i] && warm[i] <= kMostLoss * warm[0];
      result.push_back(wins ? cold[0] / cold[i] : 0);
    }
    return result;
  }

  bool has_room(const Subject& subject) {
    if (options_.stopwatch) return true;
    const std::int64_t available = options_.available_bytes ? options_.available_bytes() : available_memory();
    return operands_.reserve(*subject.use->spec, available / 2, context_.threads, go_on_);
  }

  /// Nothing where there is no room, no time, or a reason to stop.
  std::optional<Note> measured(const Subject& subject) {
    if (!go_on_() || !has_room(subject)) return std::nullopt;
    const std::span<const RowsSchedule> others = std::span(subject.schedules).subspan(1);
    const std::vector<double> gain = gains(subject, others);
    if (gain.empty()) return std::nullopt;
    RowsSchedule all = subject.schedules.front(), best = all;
    double most = 0;
    for (std::size_t i = 0; i < others.size(); ++i) {
      if (gain[i] == 0) continue;
      all = loops::joined(all, others[i]);
      if (gain[i] > most) most = gain[i], best = others[i];
    }
    if (most == 0) return Note{"default", 1};
    // Again, alone against the default: before, several had a chance to be lucky. All that won may be better together
    // than the best of them.
    std::vector<RowsSchedule> finalists{best};
    if (all != best) finalists.push_back(all);
    const std::vector<double> again = gains(subject, finalists);
    if (again.empty()) return std::nullopt;
    const auto winner = std::max_element(again.begin(), again.end());
    if (*winner == 0) return Note{"default", 1};
    return Note{loops::choices_text(finalists[static_cast<std::size_t>(winner - again.begin())]), *winner};
  }

  const Context& context_;
  ScheduleChoices& choices_;
  const TuningOptions& options_;
  std::function<double()> clock_;
  const double began_;
  const std::function<bool()> go_on_ = [this] { return time_left() && !stopped() && context_.compiler->keeps(); };
  std::string about_;
  ScratchOperands operands_;
  std::vector<TunedKernel> result_;
};

}  // namespace

std::string note_heading(int threads) {
  return fmt::format("weft schedule {} threads {} {}", loops::kScheduleVersion, threads, processor_text());
}

std::vector<TunedKernel> tune_schedules(std::span<const KernelUse> uses, const Context& context,
                                        ScheduleChoices& choices, const TuningOptions& options) {
  if (!context.compiler->keeps()) return {};
  return Tuner(context, choices, options).run(uses);
}

}  // namespace weft::cpu
