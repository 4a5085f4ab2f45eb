// weft calibrate: measures this machine, for planning and for the predictions of training.
#include "scheduler/calibrate.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "fmt/format.h"
#include "scheduler/site.hpp"
#include "scheduler/step_report.hpp"
#include "src/cli/all_ranks.hpp"
#include "src/cli/verbs.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "src/launch/job_programs.hpp"
#include "src/launch/site_costs.hpp"

namespace weft::cli {
namespace {

constexpr std::int64_t kStorageBytes = 64LL << 20;

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) {
      const auto colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  return "unknown processor";
}

/// The number that rank 0 has.
int agreed(Communicator& world, int mine) {
  const auto bytes = broadcast_bytes(world, std::as_bytes(std::span(&mine, 1)), 0, "calibration's set-up");
  int value = 0;
  std::copy_n(bytes.begin(), sizeof value, reinterpret_cast<std::byte*>(&value));
  return value;
}

/// Rank counts and threads to measure: 1, 2, 4, … and all ranks of this run; each with the threads that fill the node,
/// as training would, and with one thread; a single rank, or with `all` every rank count, with 1, 2, 4, … threads.
std::vector<Arrangement> to_measure(int ranks, int allowed_cores, const Site& site, bool all) {
  std::vector<Arrangement> list;
  std::set<int> counts{ranks};
  for (int n = 1; n < ranks; n *= 2) counts.insert(n);
  for (const int n : counts) {
    const int most = std::clamp(site.node.cores() / n, 1, allowed_cores);
    std::set<int> threads{most};
    threads.insert(1);
    if (n == 1 || all)
      for (int t = 2; t < most; t *= 2) threads.insert(t);
    for (const int t : threads) list.push_back({1, n, t});
  }
  return list;
}

std::string rate(double per_second, std::string_view unit) { return fmt::format("{:.1f} G{}", per_second / 1e9, unit); }

const CollectiveCost* all_reduce_of(const Calibration& c) {
  const auto found = std::find_if(c.collectives.begin(), c.collectives.end(),
                                  [](const auto& cost) { return cost.kind == CollectiveKind::all_reduce; });
  return found == c.collectives.end() || found->points.empty() ? nullptr : &*found;
}

void print_table(const CalibrationSet& costs, const std::filesystem::path& file) {
  fmt::print("{}\n", costs.machine);
  fmt::print("  {:>15}  {:>12}  {:>12}  {:>12}  {:>9}  {:>28}  {:>7}  {:>8}\n", "ranks x threads", "matmul peak",
             "memory", "in caches", "launch", "all-reduce 8 B, 1 MiB, 64 MiB", "overlap", "kernels");
  for (const auto& c : costs.entries) {
    std::string reduce = "-";
    if (const auto* cost = all_reduce_of(c))
      reduce = fmt::format("{}, {}, {}", duration_text(interpolate(cost->points, 8).seconds),
                           duration_text(interpolate(cost->points, 1 << 20).seconds),
                           duration_text(interpolate(cost->points, 64 << 20).seconds));
    fmt::print("  {:>15}  {:>12}  {:>12}  {:>12}  {:>9}  {:>28}  {:>7}  {:>8}\n",
               Arrangement{1, c.ranks, c.threads}.str(), rate(c.peak_flops, "flop/s"), rate(c.memory_bandwidth, "B/s"),
               rate(c.peak_bandwidth, "B/s"), fmt::format("{:.1f} us", c.launch_seconds * 1e6), reduce,
               c.ranks > 1 ? fmt::format("{:.0f} %", 100 * c.overlap_cost) : "-", c.kernels.size());
  }
  fmt::print(
      "figures of one rank while all work; overlap: what computation loses of the time that a collective runs\n");
  if (costs.read_bandwidth > 0)
    fmt::print("storage: reading {}, writing {}\n", rate(costs.read_bandwidth, "B/s"),
               rate(costs.write_bandwidth, "B/s"));
  fmt::print("written to {}\n", file.string());
}

/// Measures one arrangement on the first ranks; the others wait.
std::optional<Calibration> measure(Communicator& world, const Arrangement& arrangement, JobPrograms* job,
                                   CalibrateOptions options) {
  const bool takes_part = world.rank() < arrangement.ranks_per_node;
  const auto group = world.split(takes_part ? 0 : 1, world.rank());
  std::optional<Calibration> costs;
  if (takes_part) {
    const auto device = make_device("auto", {arrangement.ranks_per_node, arrangement.threads}, false);
    if (world.rank() == 0)
      options.progress = [&](const std::string& part) {
        fmt::print(stderr, "calibrate: {}: {}\n", arrangement.str(), part);
      };
    costs = calibrate(*device, *group, options);
    if (job) {
      try {
        const auto step = job->build(arrangement);
        calibrate_programs(*device, *group, step.programs, options, *costs);
      } catch (const UserError& e) {  // the same on all ranks
        options.progress(std::string("not with this job: ") + e.what());
      }
    }
  }
  barrier(world, "the calibration of " + arrangement.str());
  return costs;
}

}  // namespace

ExitCode run_calibrate(const Arguments& arguments) {
  Options options("calibrate",
                  "Measures this machine: kernels by size, memory, all-reduce by size, storage. `plan` and `train` "
                  "predict with the result.");
  options.value("site", "S.yaml", "the site file; the result goes beside it")
      .value("job", "JOB.yaml", "measures the kernels of this job's steps too: its predictions become sharper")
      .value("storage", "FOLDER", "where reading and writing are measured; by default beside the site file")
      .flag("all", "every number of threads for every number of ranks, not only one and what fills the node")
      .flag("quick", "fewer sizes and repetitions: a few seconds")
      .flag("json", "the calibration as JSON")
      .flag("schema", "lists every key of a site file (with --json: as JSON), and measures nothing")
      .note(
          "Under mpirun the same command measures all-reduce, and ranks that share a node's memory. Results of "
          "several runs are kept together; a new measurement replaces the old one of its ranks and threads.")
      .note(
          "Let nothing else run. With `--bind-to none` ranks may use any core, so that few ranks of many threads can "
          "be measured in the same run.")
      .example("weft calibrate --site workstation.yaml")
      .example("mpirun -n 4 --bind-to none weft calibrate --site workstation.yaml --job job.yaml");
  if (!options.parse(arguments)) return ExitCode::ok;
  return on_all_ranks([&](World& launched, const LaunchInfo&) {
    auto& world = *launched.communicator;
    const bool speaks = world.rank() == 0;
    if (options.has("schema")) {
      if (speaks) fmt::print("{}", options.has("json") ? site_schema_json() : site_schema_text());
      return ExitCode::ok;
    }
    if (!options.has("site")) throw UserError("calibrate: name the site file with --site S.yaml");
    PosixFileSystem files;
    auto known = read_site_costs(files, options.text("site"));
    if (world.node_size() != world.size())
      throw UserError("calibrate: the ranks are on several nodes; this version measures one node at a time");
    std::optional<JobPrograms> job;
    if (options.has("job")) job.emplace(read_job(options.text("job")), known.site.node.memory_bytes);

    CalibrateOptions how;
    how.quick = options.has("quick");
    if (how.quick) how.seconds_a_sample = 0.01;
    const int allowed = agreed(world, static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
    const auto list = to_measure(world.size(), allowed, known.site, options.has("all"));
    known.costs.machine = processor();
    if (speaks) write_costs(files, known.site, known.costs);  // what cannot be written is not worth measuring
    for (const auto& arrangement : list) {
      auto costs = measure(world, arrangement, job ? &*job : nullptr, how);
      if (!speaks) continue;
      costs->measured_at = now_utc();
      merge_calibration(known.costs, std::move(*costs));
      write_costs(files, known.site, known.costs);  // after each: an interrupted run keeps what it has
    }
    if (!speaks) return ExitCode::ok;
    fmt::print(stderr, "calibrate: storage\n");
    const std::filesystem::path folder = options.has("storage") ? options.text("storage") : known.site.directory;
    const StorageRates storage = measure_storage(folder, kStorageBytes);
    known.costs.read_bandwidth = storage.read;
    known.costs.write_bandwidth = storage.write;
    write_costs(files, known.site, known.costs);
    if (options.has("json"))
      fmt::print("{}", calibration_to_json(known.costs));
    else
      print_table(known.costs, calibration_path(known.site));
    return ExitCode::ok;
  });
}

}  // namespace weft::cli
