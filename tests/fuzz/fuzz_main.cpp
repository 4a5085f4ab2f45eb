// The differential fuzzer: random graphs, compiled and interpreted.
//
//     test_fuzz [--graphs N] [--seed S] [--isa NAME] [--threads N] [--without NAME,NAME] [--report N]
//
// Graph number i is drawn from seed S + i, whatever the other options, so a failure is repeated by `--seed FOUND
// --graphs 1`. Every graph runs on each instruction set of this machine, with 1 to 3 threads. Work is done in child
// processes, so that a kernel that crashes or hangs costs one graph.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <new>
#include <optional>
#include <thread>

#include "kernels/cpu/cpu_device.hpp"
#include "tests/fuzz/check_case.hpp"
#include "tests/fuzz/shrink.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

struct Options {
  unsigned graphs = 300, seed = 1;
  std::optional<CpuIsa> isa;
  int threads = 0;                   ///< 0: 1 to 3, drawn
  std::vector<std::string> without;  ///< implementations that must not be used
  unsigned report = 10;              ///< failures shown, shrunk
};

constexpr unsigned kGraphsOfAChild = 250;  ///< devices remember answers; so memory stays bounded
constexpr std::chrono::seconds kMostSecondsOfAGraph{120};

/// Seen by parent and children.
struct Shared {
  std::atomic<unsigned> at{0};  ///< seed of the graph in work
  std::atomic<std::int64_t> graphs{0}, failures{0}, runs{0}, elements{0}, determined{0}, reported{0};
  std::atomic<std::int64_t> nodes{0};
};

unsigned number(const std::string& name, const char* text) {
  unsigned value = 0;
  const std::string_view view(text);
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc{} || end != view.data() + view.size())
    throw UserError(fmt::format("{} takes a number, not '{}'", name, text));
  return value;
}

CpuIsa isa_named(std::string_view name) {
  for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2, CpuIsa::baseline})
    if (name_of(isa) == name) return isa;
  throw UserError(fmt::format("--isa is avx512, avx2 or baseline, not '{}'", name));
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw UserError(fmt::format("{} takes a value", name));
    const char* value = argv[i + 1];
    if (name == "--graphs")
      o.graphs = number(name, value);
    else if (name == "--seed")
      o.seed = number(name, value);
    else if (name == "--report")
      o.report = number(name, value);
    else if (name == "--threads")
      o.threads = static_cast<int>(number(name, value));
    else if (name == "--isa")
      o.isa = isa_named(value);
    else if (name == "--without")
      for (std::string_view rest = value; !rest.empty();) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        o.without.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
      }
    else
      throw UserError(
          fmt::format("unknown option '{}': --graphs, --seed, --isa, --threads, --without, --report", name));
  }
  return o;
}

/// The devices of one child, made when first asked for.
class Devices {
 public:
  explicit Devices(const Options& options) : options_(options) {
    for (const CpuIsa isa : {CpuIsa::avx512, CpuIsa::avx2, CpuIsa::baseline}) {
      if (options.isa && isa != *options.isa) continue;
      try {
        isas_.push_back(resolve_isa(isa));
      } catch (const UserError&) {  // not on this processor
        if (options.isa) throw;
      }
    }
  }
  const std::vector<CpuIsa>& isas() const { return isas_; }
  Device& get(CpuIsa isa, int threads) {
    auto& device = made_[{isa, threads}];
    if (!device) {
      CpuOptions cpu{threads, isa, true};
      cpu.without = options_.without;
      device = make_cpu_device(cpu);
    }
    return *device;
  }

 private:
  const Options& options_;
  std::vector<CpuIsa> isas_;
  std::map<std::pair<CpuIsa, int>, std::unique_ptr<Device>> made_;
};

void report(const Case& c, const Verdict& verdict, unsigned seed, const std::string& where, bool show,
            const std::function<Verdict(const Case&)>& check) {
  fmt::print("FAILED seed {} on {}: {}\n", seed, where, verdict.failure);
  if (show) {
    const Case small = shrunk(c, verdict.output, [&](const Case& s) { return !check(s).failure.empty(); });
    fmt::print("shrunk to:\n{}{}\n\n", str(small), check(small).failure);
  }
  std::fflush(stdout);
}

/// One graph on all devices; false when something is wrong with it.
bool check_graph(unsigned seed, const Options& options, Devices& devices, Shared& shared) {
  const Case c = drawn_case(seed);
  shared.nodes += std::ssize(c.graph.nodes());
  const auto show = [&] { return shared.reported.fetch_add(1) < static_cast<std::int64_t>(options.report); };
  if (const Verdict v = check_interpreter(c); !v.failure.empty()) {
    report(c, v, seed, "the interpreter", show(), check_interpreter);
    return false;
  }
  for (std::size_t i = 0; i < devices.isas().size(); ++i) {
    const int threads = options.threads > 0 ? options.threads : static_cast<int>((seed / 3 + i) % 3 + 1);
    Device& device = devices.get(devices.isas()[i], threads);
    Tally tally;
    const Verdict v = check_device(c, device, &tally);
    shared.runs += tally.runs, shared.elements += tally.elements, shared.determined += tally.determined;
    if (v.failure.empty()) continue;
    report(c, v, seed, device.target().str(), show(), [&](const Case& s) { return check_device(s, device); });
    return false;
  }
  return true;
}

void work(unsigned first, unsigned count, const Options& options, Shared& shared) {
  Devices devices(options);
  for (unsigned i = 0; i < count; ++i) {
    shared.at = first + i;
    try {
      if (!check_graph(first + i, options, devices, shared)) ++shared.failures;
    } catch (const std::exception& e) {
      ++shared.failures;
      fmt::print("FAILED seed {}: drawing or checking it throws: {}\n", first + i, e.what());
    }
    ++shared.graphs;
  }
  std::fflush(stdout);
}

/// Runs `count` graphs in a child. Returns the first seed that was not done: beyond the last, or beyond one that
/// crashed.
unsigned run_child(unsigned first, unsigned count, const Options& options, Shared& shared) {
  shared.at = first;
  const pid_t child = fork();
  if (child < 0) throw SystemError::from_errno("fork", errno);
  if (child == 0) {
    work(first, count, options, shared);
    _exit(0);
  }
  auto since = std::chrono::steady_clock::now();
  unsigned seen = first;
  for (int status = 0;;) {
    if (waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return first + count;
      fmt::print("FAILED seed {}: {}\n", shared.at.load(),
                 WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                                     : fmt::format("exit {}", WEXITSTATUS(status)));
      ++shared.failures, ++shared.graphs;
      return shared.at + 1;
    }
    if (shared.at != seen) seen = shared.at, since = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - since > kMostSecondsOfAGraph) kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

int run(const Options& options) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw SystemError::from_errno("mmap", errno);
  Shared& shared = *new (memory) Shared;
  const unsigned end = options.seed + options.graphs;
  for (unsigned at = options.seed; at < end;) {
    at = run_child(at, std::min(kGraphsOfAChild, end - at), options, shared);
    fmt::print(stderr, "{} of {} graphs, {} failed\n", at - options.seed, options.graphs, shared.failures.load());
  }
  fmt::print(
      "{} graphs of {:.1f} nodes, {} runs on devices, {} failures; {} elements compared, {:.2f} % of them determined\n",
      shared.graphs.load(), static_cast<double>(shared.nodes) / std::max<double>(1, static_cast<double>(shared.graphs)),
      shared.runs.load(), shared.failures.load(), shared.elements.load(),
      100 * static_cast<double>(shared.determined) / std::max<double>(1, static_cast<double>(shared.elements)));
  return shared.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::fuzz

int main(int argc, char** argv) {
  try {
    return weft::fuzz::run(weft::fuzz::parse(argc, argv));
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
