// How near the roofline a training step is, and where the rest of its time goes.
//
//     bench_roofline JOB.yaml [--set KEY=VALUE]... [--rounds N] [--json FILE]
//
// The roofline of a step is the time of its contractions, each measured alone with the best that the library has for it
// (any formats, no epilogue, warm), plus the multiply-adds inside attention (2 products forward, 5 in the gradient,
// half of each when causal) at the rate at which a square matrix product in the type of its operands ran, plus the
// bytes that everything else cannot avoid (unavoidable_bytes.hpp) over the triad's bandwidth. Contractions, triad,
// matrix product and whole steps take turns in every round; the best time of a contraction counts, and the median of
// the steps. Below are the instructions, each at its fastest; what the fastest step took beyond their sum is "between":
// launches, and noise. What the library has nothing for counts with our own kernel's time.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "src/cli/waiting_threads.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "tests/bench/library_contraction.hpp"
#include "tests/bench/measure.hpp"
#include "tests/bench/training_step.hpp"
#include "tests/bench/unavoidable_bytes.hpp"
#include "weft/error.hpp"

namespace weft::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Settings {
  std::string job, json;
  std::vector<std::string> overrides;
  int rounds = 5;
};

Settings parse(int argc, char** argv) {
  Settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= argc) throw UserError(word + " takes a value");
      return argv[++i];
    };
    if (word == "--set") {
      s.overrides.push_back(value());
    } else if (word == "--json") {
      s.json = value();
    } else if (word == "--rounds") {
      s.rounds = std::atoi(value().c_str());
      if (s.rounds < 1 || s.rounds > 1000) throw UserError("--rounds takes 1 to 1000");
    } else if (word.starts_with("--") || !s.job.empty()) {
      throw UserError("usage: bench_roofline JOB.yaml [--set KEY=VALUE]... [--rounds N] [--json FILE]");
    } else {
      s.job = word;
    }
  }
  if (s.job.empty()) throw UserError("bench_roofline: name a job file");
  return s;
}

/// A contraction of the step, measured alone.
class Alone {
 public:
  Alone(const Graph& graph, const Node& node, ContractionLibrary& library, Device& device, bool winograd)
      : library_(library.best(graph, node, winograd)) {
    if (library_) return;
    const std::string note = "our own kernel";
    Graph body;
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs)
      inputs.push_back(body.add_input(std::to_string(inputs.size()), InputRole::feed, graph.type(v)));
    const NodeId n = body.append(node.op, inputs, node.attributes, {graph.type(node.outputs.at(0))});
    body.add_output("y", OutputRole::fetch, body.node(n).outputs[0]);
    own_ = std::make_unique<LoadedKernel>(device, device.oracle().ask(body).offer.value().spec);
  }
  void run(const Clock& clock) {
    const double start = clock.now();
    if (library_)
      library_->run();
    else
      own_->launch();
    best_ = std::min(best_, clock.now() - start);
  }
  double best() const { return best_; }
  std::string describe() const { return library_ ? library_->describe() : "our own kernel"; }

 private:
  std::unique_ptr<LibraryContraction> library_;
  std::unique_ptr<LoadedKernel> own_;
  double best_ = std::numeric_limits<double>::max();
};

/// The fastest that every instruction was in any of the runs that it observes.
class InstructionTimes final : public ExecutionObserver {
 public:
  InstructionTimes(const Clock& clock, std::size_t instructions)
      : clock_(clock), seconds_(instructions, std::numeric_limits<double>::max()) {}
  void begin(const Program&, int) override { start_ = clock_.now(); }
  bool end(const Program&, int instruction) override {
    double& best = seconds_[static_cast<std::size_t>(instruction)];
    best = std::min(best, clock_.now() - start_);
    return true;
  }
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  const Clock& clock_;
  std::vector<double> seconds_;
  double start_ = 0;
};

enum class Kind : std::uint8_t { contraction, attention, reorder, fused, copy, wait };
constexpr const char* kKindNames[] = {"contractions", "attention", "reorders", "other kernels", "copies", "waits"};

/// One instruction: what it took, and what it would take at best by itself.
struct Line {
  std::string name, implementation, best;
  Kind kind = Kind::fused;
  double seconds = 0, floor = 0, flops = 0, bytes = 0;
};

class Roofline {
 public:
  Roofline(const Settings& settings, const JobSpec& job, Device& device)
      : settings_(settings),
        job_(job),
        device_(device),
        clock_(device.target().threads),
        step_(job, device),
        library_(device, clock_),
        triad_(device),
        product_(device, DType::f32),
        narrow_product_(device, DType::bf16) {}

  void measure() {
    const Program& program = step_.lowered().program;
    for (const KernelSpec& kernel : program.kernels)
      for (const Node& node : kernel.body.nodes()) find_alone(kernel.body, node);
    for (const Node& node : step_.lowered().graph.nodes()) find_alone(step_.lowered().graph, node);
    InstructionTimes times(clock_, program.instructions.size());
    step_.run();
    triad_.run();
    for (int r = 0; r < settings_.rounds; ++r) {
      for (auto& [key, contraction] : alone_) contraction.run(clock_);
      for (int i = 0; i < 3; ++i) bandwidth_ = std::max(bandwidth_, Triad::bytes() / timed([&] { triad_.run(); }));
      for (int i = 0; i < 3; ++i) peak_ = std::max(peak_, SquareProduct::flops() / timed([&] { product_.run(); }));
      for (int i = 0; i < 3; ++i)
        narrow_peak_ = std::max(narrow_peak_, SquareProduct::flops() / timed([&] { narrow_product_.run(); }));
      steps_.push_back(timed([&] { step_.run(&times); }));
    }
    fastest_ = times.seconds();
  }

  void report() {
    find_lines();
    const Graph& graph = step_.lowered().graph;
    double contractions = 0, attention = 0;
    for (const Node& node : graph.nodes()) {
      if (is_matrix_work(node.op)) contractions += alone_.at(contraction_key(graph, node)).best();
      if (is_attention(node.op)) attention += attention_floor(graph, node);
    }
    const UnavoidableBytes bytes = unavoidable_bytes(graph);
    const double moving = bytes.total / bandwidth_, roofline = contractions + attention + moving;
    const double step = median(steps_), best = *std::min_element(steps_.begin(), steps_.end());
    double flops = 0;
    for (const Line& l : lines_) flops += l.flops;
    fmt::print("{} batch {}, {}\n", job_.name, job_.batch, device_.target().str());
    fmt::print("  triad {:.1f} GB/s, matrix product {:.1f} GFLOP/s (f32), {:.1f} (bf16)\n", bandwidth_ / 1e9,
               peak_ / 1e9, narrow_peak_ / 1e9);
    fmt::print(
        "  step {:.2f} ms (best {:.2f}), roofline {:.2f} ms = contractions {:.2f} + attention {:.2f} + {:.1f} MB moved "
        "{:.2f}\n",
        1e3 * step, 1e3 * best, 1e3 * roofline, 1e3 * contractions, 1e3 * attention, bytes.total / 1e6, 1e3 * moving);
    fmt::print("  fraction of the roofline {:.3f} (best step {:.3f}), of the matrix-product peak {:.3f}\n\n",
               roofline / step, roofline / best, flops / step / peak_);
    Json out{{"job", job_.name},
             {"batch", job_.batch},
             {"threads", device_.target().threads},
             {"device", device_.target().str()},
             {"triad_gbytes", bandwidth_ / 1e9},
             {"product_gflops", peak_ / 1e9},
             {"step_ms", 1e3 * step},
             {"best_step_ms", 1e3 * best},
             {"roofline_ms", 1e3 * roofline},
             {"product_bf16_gflops", narrow_peak_ / 1e9},
             {"contractions_ms", 1e3 * contractions},
             {"attention_ms", 1e3 * attention},
             {"unavoidable_bytes", bytes.total},
             {"unavoidable_ms", 1e3 * moving},
             {"fraction", roofline / step},
             {"best_fraction", roofline / best},
             {"of_peak", flops / step / peak_}};
    out["regions"] = Json::array();
    for (const auto& [v, moved] : bytes.by_region)
      out["regions"].push_back({{"first", graph.producer(v)->name}, {"value", v}, {"bytes", moved}});
    report_groups(out, best, moving);
    report_lines(out);
    if (settings_.json.empty()) return;
    std::ofstream file(settings_.json);
    file << out.dump(1) << "\n";
    if (!file.flush()) throw SystemError::from_errno("cannot write " + settings_.json, errno);
  }

 private:
  template <class F>
  double timed(const F& run) const {
    const double start = clock_.now();
    run();
    return clock_.now() - start;
  }

  double attention_floor(const Graph& graph, const Node& node) const {
    const bool narrow = graph.type(node.inputs.at(1)).dtype == DType::bf16;
    return attention_flops(graph, node) / (narrow ? narrow_peak_ : peak_);
  }

  void find_alone(const Graph& graph, const Node& node) {
    if (!is_matrix_work(node.op)) return;
    std::string key = contraction_key(graph, node);
    if (alone_.count(key) == 0)
      alone_.emplace(std::move(key), Alone(graph, node, library_, device_, job_.math == "fast"));
  }

  void find_lines() {
    const Program& program = step_.lowered().program;
    for (std::size_t n = 0; n < program.instructions.size(); ++n) {
      const Instruction& i = program.instructions[n];
      Line line;
      line.name = i.name;
      line.seconds = fastest_[n];
      for (const View& v : i.reads) line.bytes += static_cast<double>(v.layout.bytes(v.dtype));
      for (const View& v : i.writes) line.bytes += static_cast<double>(v.layout.bytes(v.dtype));
      if (i.kind == InstructionKind::kernel)
        describe_kernel(program.kernels[static_cast<std::size_t>(i.kernel)], line);
      else
        line.kind = i.kind == InstructionKind::copy ? Kind::copy : Kind::wait;
      lines_.push_back(std::move(line));
    }
  }

  void describe_kernel(const KernelSpec& kernel, Line& line) const {
    line.implementation = kernel.implementation;
    line.flops = kernel.flops;
    line.floor = line.bytes / bandwidth_;
    const bool reorders = std::all_of(kernel.body.nodes().begin(), kernel.body.nodes().end(),
                                      [](const Node& n) { return n.op == Op::reorder; });
    line.kind = reorders ? Kind::reorder : Kind::fused;
    if (reorders) line.floor = 0;
    for (const Node& node : kernel.body.nodes()) {
      if (is_attention(node.op)) {
        line.kind = Kind::attention;
        line.floor = attention_floor(kernel.body, node);
      }
      if (is_matrix_work(node.op)) {
        const Alone& alone = alone_.at(contraction_key(kernel.body, node));
        if (line.kind != Kind::contraction) line.floor = 0;
        line.kind = Kind::contraction;
        line.floor += alone.best();
        line.best = alone.describe();
      }
    }
  }

  /// Where the step's time goes beyond the roofline, by kind of instruction.
  void report_groups(Json& out, double step, double moving) const {
    fmt::print("  {:<14} {:>6} {:>10} {:>10} {:>10} {:>10}\n", "kind", "count", "ms", "at best", "excess", "MB");
    out["groups"] = Json::array();
    double all = 0;
    for (const Kind kind : {Kind::contraction, Kind::attention, Kind::fused, Kind::reorder, Kind::copy, Kind::wait}) {
      double seconds = 0, floor = 0, bytes = 0;
      int count = 0;
      for (const Line& l : lines_)
        if (l.kind == kind) seconds += l.seconds, floor += l.floor, bytes += l.bytes, ++count;
      all += seconds;
      if (kind == Kind::fused) floor = moving;
      print_group(out, kKindNames[static_cast<int>(kind)], count, seconds, kind == Kind::copy ? 0 : floor, bytes);
    }
    print_group(out, "between", 0, std::max(0.0, step - all), 0, 0);
  }

  static void print_group(Json& out, const char* name, int count, double seconds, double floor, double bytes) {
    fmt::print("  {:<14} {:>6} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.1f}\n", name, count, 1e3 * seconds, 1e3 * floor,
               1e3 * (seconds - floor), bytes / 1e6);
    out["groups"].push_back({{"kind", name},
                             {"instructions", count},
                             {"ms", 1e3 * seconds},
                             {"at_best_ms", 1e3 * floor},
                             {"excess_ms", 1e3 * (seconds - floor)},
                             {"bytes", bytes}});
  }

  /// Instructions of one name, kernel and kind together, by what they lose; "at best" of other kernels is their own
  /// operands over the bandwidth.
  void report_lines(Json& out) {
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.seconds - a.floor > b.seconds - b.floor; });
    fmt::print("\n  {:>9} {:>9} {:>9}  {}\n", "ms", "at best", "excess", "instruction");
    out["instructions"] = Json::array();
    int shown = 0;
    for (const Line& l : lines_) {
      if (shown++ < 25)
        fmt::print("  {:>9.3f} {:>9.3f} {:>9.3f}  {}: {}{}\n", 1e3 * l.seconds, 1e3 * l.floor,
                   1e3 * (l.seconds - l.floor), l.implementation, l.name,
                   l.best.empty() ? "" : " (best " + l.best + ")");
      out["instructions"].push_back({{"name", l.name},
                                     {"kind", kKindNames[static_cast<int>(l.kind)]},
                                     {"implementation", l.implementation},
                                     {"library", l.best},
                                     {"ms", 1e3 * l.seconds},
                                     {"at_best_ms", 1e3 * l.floor},
                                     {"flops", l.flops},
                                     {"bytes", l.bytes}});
    }
  }

  const Settings& settings_;
  const JobSpec& job_;
  Device& device_;
  Clock clock_;
  TrainingStep step_;
  ContractionLibrary library_;
  Triad triad_;
  SquareProduct product_, narrow_product_;
  std::map<std::string, Alone> alone_;  ///< by contraction key
  double bandwidth_ = 0, peak_ = 0, narrow_peak_ = 0;
  std::vector<double> steps_;
  std::vector<double> fastest_;  ///< seconds of each instruction
  std::vector<Line> lines_;
};

int run(int argc, char** argv) {
  const Settings settings = parse(argc, argv);
  cli::choose_how_threads_wait(argv);
  const JobSpec job = read_job(settings.job, settings.overrides);
  const auto device = make_device(job.device, {1, job.threads}, job.deterministic, job.math == "fast");
  Roofline roofline(settings, job, *device);
  roofline.measure();
  roofline.report();
  return 0;
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  try {
    return weft::bench::run(argc, argv);
  } catch (const weft::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
