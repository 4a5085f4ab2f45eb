// Counting and printing.
#include "src/compile/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "scheduler/simulate.hpp"
#include "src/compile/explain.hpp"
#include "src/run/text.hpp"
#include "src/settings/nearest.hpp"
#include "src/train/state_cuts.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

double milliseconds(double seconds) { return 1e3 * seconds; }

std::int64_t arena_of(const Program& p) { return p.arena_bytes[0] + p.arena_bytes[1] + p.arena_bytes[2]; }

const char* class_of_node(const Node& node) {
  switch (node.op) {
    case Op::dot_general:
    case Op::attention:
    case Op::attention_grad: return "matrix product";
    case Op::conv_general:
    case Op::conv_data_grad:
    case Op::conv_filter_grad: return "convolution";
    case Op::random_bits: return "random numbers";
    case Op::reorder: return "reorder";
    case Op::softmax:
    case Op::log_softmax:
    case Op::cross_entropy:
    case Op::moments:
    case Op::batch_norm:
    case Op::batch_norm_grad:
    case Op::layer_norm: return "reduction";
    default: break;
  }
  switch (class_of(node.op)) {
    case OpClass::contraction: return "pooling";
    case OpClass::indexing: return "gather, scatter";
    case OpClass::reduction: return "reduction";
    case OpClass::movement:
    case OpClass::source: return "data movement";
    default: return "elementwise";
  }
}

/// A fused kernel is of the class of its most telling node: these, in this order.
constexpr const char* kKernelClasses[] = {"convolution",    "matrix product", "pooling", "gather, scatter", "reduction",
                                          "random numbers", "elementwise",    "reorder", "data movement"};

std::string class_of_kernel(const KernelSpec& kernel) {
  for (const char* candidate : kKernelClasses)
    for (const Node& node : kernel.body.nodes())
      if (node.op != Op::constant && std::string_view(class_of_node(node)) == candidate) return candidate;
  return "data movement";
}

std::string class_of_instruction(const Program& program, const Instruction& i) {
  switch (i.kind) {
    case InstructionKind::kernel: return class_of_kernel(program.kernels[static_cast<std::size_t>(i.kernel)]);
    case InstructionKind::collective_start:
      return i.collective.kind == CollectiveKind::all_reduce ? "all-reduce" : "collective";
    case InstructionKind::wait: return "wait";
    case InstructionKind::copy: return "copy";
    case InstructionKind::if_:
    case InstructionKind::while_: break;
  }
  return "control";
}

Mesh mesh_of(const Compilation& c) { return c.plan ? c.plan->mesh : Mesh{}; }

Json json_of(const ProgramSummary& s, const CompiledProgram& program, bool explain) {
  const Program& p = program.lowered.program;
  Json out{{"role", p.role},
           {"instructions", p.instructions.size()},
           {"predicted_ms", milliseconds(s.predicted)},
           {"predicted_low_ms", milliseconds(s.low)},
           {"predicted_high_ms", milliseconds(s.high)},
           {"kernels_ms", milliseconds(s.seconds)},
           {"arena_bytes", s.arena_bytes},
           {"liveness_bound_bytes", s.liveness_bound_bytes},
           {"reorders", s.reorders},
           {"classes", Json::array()},
           {"kernels", Json::object()}};
  for (const ClassTotal& c : s.classes)
    out["classes"].push_back({{"class", c.name},
                              {"instructions", c.instructions},
                              {"estimated_ms", milliseconds(c.seconds)},
                              {"flops", c.flops},
                              {"bytes", c.bytes}});
  for (const auto& [name, count] : s.kernels) out["kernels"][name] = count;
  const auto size = [](const PassSize& z) { return Json{{"nodes", z.nodes}, {"units", z.units}, {"bytes", z.bytes}}; };
  out["passes"] = Json::array();
  for (const PassRecord& r : program.lowered.passes)
    out["passes"].push_back({{"pass", r.name},
                             {"on", r.on},
                             {"ms", milliseconds(r.seconds)},
                             {"verify_ms", milliseconds(r.verify_seconds)},
                             {"before", size(r.before)},
                             {"after", size(r.after)}});
  if (explain) out["explain"] = explain_json(program.lowered);
  return out;
}
std::string program_text(const CompiledProgram& compiled, const Mesh& mesh) {
  const Program& p = compiled.lowered.program;
  const ProgramSummary s = summarise(p, mesh);
  std::string text =
      fmt::format("\nprogram '{}': {} instructions, predicted {:.3f} ms ({:.3f} to {:.3f})\n", p.role,
                  p.instructions.size(), milliseconds(s.predicted), milliseconds(s.low), milliseconds(s.high));
  text += fmt::format("  arena {:.2f} MiB (liveness bound {:.2f})\n", mebibytes(s.arena_bytes),
                      mebibytes(s.liveness_bound_bytes));
  text += fmt::format("  {:<16} {:>6} {:>10} {:>7} {:>10} {:>10}\n", "class", "count", "ms", "share", "GFLOP", "MiB");
  for (const ClassTotal& c : s.classes) {
    // Collectives run beside the rest; what is waited for of them is a share of its own.
    const bool beside = c.name == "all-reduce" || c.name == "collective";
    const double share = s.predicted > 0 ? 100 * c.seconds / s.predicted : 0;
    text += fmt::format("  {:<16} {:>6} {:>10.3f} {:>7}", c.name, c.instructions, milliseconds(c.seconds),
                        beside ? "beside" : fmt::format("{:.1f} %", share));
    if (c.bytes > 0) text += fmt::format(" {:>10.3f} {:>10.2f}", c.flops / 1e9, c.bytes / (1 << 20));
    text += "\n";
  }
  std::vector<std::string> kernels;
  for (const auto& [name, count] : s.kernels) kernels.push_back(fmt::format("{} x{}", name, count));
  text += fmt::format("  kernels: {}; {} of them reorder{}\n",
                      kernels.empty() ? "none" : fmt::format("{}", fmt::join(kernels, ", ")), s.reorders,
                      s.reorders == 1 ? "s" : "");
  return text;
}

}  // namespace

ProgramSummary summarise(const Program& program, const Mesh& mesh) {
  ProgramSummary summary;
  std::map<std::string, ClassTotal> classes;
  std::map<std::string, std::int64_t> kernels;
  const Prediction prediction = simulate(program, nullptr, {mesh, 1});
  std::vector<double> seconds(program.instructions.size(), 0);
  for (const InstructionTime& t : prediction.timeline) seconds[static_cast<std::size_t>(t.instruction)] = t.seconds;
  for (std::size_t n = 0; n < program.instructions.size(); ++n) {
    const Instruction& i = program.instructions[n];
    const std::string name = class_of_instruction(program, i);
    ClassTotal& total = classes[name];
    total.name = name;
    ++total.instructions;
    total.seconds += seconds[n];
    if (i.kind == InstructionKind::copy)
      for (const View& w : i.writes) total.bytes += 2 * static_cast<double>(w.layout.bytes(w.dtype));
    if (i.kind != InstructionKind::kernel) continue;
    const auto k = static_cast<std::size_t>(i.kernel);
    total.flops += program.kernels[k].flops;
    total.bytes += program.kernels[k].bytes;
    summary.seconds += program.kernel_seconds[k];
    ++kernels[program.kernels[k].implementation];
    if (name == "reorder") ++summary.reorders;
  }
  for (auto& [name, total] : classes) summary.classes.push_back(std::move(total));
  std::stable_sort(summary.classes.begin(), summary.classes.end(),
                   [](const ClassTotal& a, const ClassTotal& b) { return a.seconds > b.seconds; });
  summary.kernels.assign(kernels.begin(), kernels.end());
  std::stable_sort(summary.kernels.begin(), summary.kernels.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  summary.arena_bytes = arena_of(program);
  summary.liveness_bound_bytes = program.liveness_bound_bytes;
  summary.predicted = prediction.seconds;
  summary.low = prediction.low;
  summary.high = prediction.high;
  return summary;
}

MemorySummary memory_of(const Compilation& compilation) {
  MemorySummary memory;
  std::map<std::string, std::int64_t> states;
  for (const CompiledProgram& c : compilation.programs) {
    const Program& p = c.lowered.program;
    if (arena_of(p) >= memory.arena) {
      memory.arena = arena_of(p);
      memory.liveness_bound = p.liveness_bound_bytes;
    }
    for (const Buffer& b : p.buffers)
      if (b.kind == BufferKind::state)
        states[b.name] = b.bytes;
      else if (b.kind != BufferKind::arena)
        memory.others += b.bytes;
  }
  for (const auto& [name, bytes] : states) memory.states += bytes;
  return memory;
}

std::string summary_text(const Compilation& c) {
  std::string text = fmt::format("{}", c.source);
  if (c.model) text += fmt::format(" (model {})", *c.model);
  text += fmt::format(", compiled in {:.2f} s for {}\n", c.seconds, c.device);
  if (c.plan)
    text += fmt::format("plan: {}, batch {}, {} micro-batch{}, {}{}\n", c.plan->mesh.str(), c.plan->global_batch,
                        c.plan->micro_batches, c.plan->micro_batches == 1 ? "" : "es", name_of(c.plan->compute),
                        c.plan->deterministic ? ", deterministic" : "");
  if (c.plan && !c.plan->cuts.empty()) text += fmt::format("{}\n", summary_of(c.plan->cuts));
  const MemorySummary m = memory_of(c);
  text += fmt::format(
      "memory{}: {:.2f} MiB = arena {:.2f} (liveness bound {:.2f}) + states {:.2f} + constants, feeds "
      "and fetches {:.2f}\n",
      c.plan ? " a rank" : "", mebibytes(m.total()), mebibytes(m.arena), mebibytes(m.liveness_bound),
      mebibytes(m.states), mebibytes(m.others));
  for (const CompiledProgram& p : c.programs) text += program_text(p, mesh_of(c));
  return text;
}

namespace {

/// Name of the first instruction that launches each kernel, by KernelSpec::key().
std::map<std::string, std::string> kernel_names(const Compilation& compilation) {
  std::map<std::string, std::string> names;
  for (const CompiledProgram& c : compilation.programs)
    for (const Instruction& i : c.lowered.program.instructions)
      if (i.kernel >= 0) names.try_emplace(c.lowered.program.kernels[static_cast<std::size_t>(i.kernel)].key(), i.name);
  return names;
}

/// Schedules that measured faster than the default.
std::string tuning_text(const Compilation& compilation) {
  if (compilation.tuned.empty()) return {};
  const auto names = kernel_names(compilation);
  std::string text;
  std::size_t faster = 0;
  for (const TunedKernel& t : compilation.tuned) {
    if (t.schedule == "default") continue;
    ++faster;
    text += fmt::format("  {:>5.2f}x  {:<28} {}\n", t.speedup, t.schedule, names.at(t.key));
  }
  return fmt::format("\nschedules of {} generated kernels were compared; for {} another is faster than the default:\n",
                     compilation.tuned.size(), faster) +
         text;
}

}  // namespace

namespace {

/// The model's states that are cut; what belongs to them lies alike.
std::string cuts_text(const StateCutList& cuts) {
  std::string text;
  for (const StateCut& cut : cuts) {
    if (cut.dimension == StateCut::kWhole || cut.state.starts_with("optimizer/") ||
        cut.state.starts_with("accumulate/"))
      continue;
    text += fmt::format("  {:<10} {} along dimension {}{}\n", cut.axis, cut.state, cut.dimension,
                        cut.blocks == 1 ? "" : fmt::format(" in {} blocks", cut.blocks));
  }
  return text.empty()
             ? text
             : "\nstates of the model that are cut over the mesh; their gradients and moments are too:\n" + text;
}

}  // namespace

std::string explain_text(const Compilation& compilation) {
  std::string text = compilation.plan ? cuts_text(compilation.plan->cuts) : "";
  for (const CompiledProgram& c : compilation.programs) text += explain_text(c.lowered);
  return text + tuning_text(compilation);
}

std::string report_json(const Compilation& c, bool explain) {
  const MemorySummary m = memory_of(c);
  Json out{{"source", c.source}, {"device", c.device}, {"seconds", c.seconds}};
  if (c.plan) out["plan"] = Json::parse(c.plan->json());
  out["memory"] = {{"total_bytes", m.total()},
                   {"arena_bytes", m.arena},
                   {"liveness_bound_bytes", m.liveness_bound},
                   {"state_bytes", m.states},
                   {"other_bytes", m.others}};
  out["phases"] = Json::array();
  for (const PhaseTime& p : c.phases) out["phases"].push_back({{"phase", p.name}, {"ms", milliseconds(p.seconds)}});
  if (!c.tuned.empty()) {
    const auto names = kernel_names(c);
    for (const TunedKernel& t : c.tuned)
      out["tuned"].push_back({{"kernel", names.at(t.key)}, {"schedule", t.schedule}, {"speedup", t.speedup}});
  }
  out["programs"] = Json::array();
  for (const CompiledProgram& p : c.programs)
    out["programs"].push_back(json_of(summarise(p.lowered.program, mesh_of(c)), p, explain));
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string passes_text(const Compilation& compilation) {
  std::string text;
  const auto change = [](std::int64_t before, std::int64_t after) {
    return before == after ? fmt::format("{}", after) : fmt::format("{} > {}", before, after);
  };
  for (const CompiledProgram& c : compilation.programs) {
    text += fmt::format("\npasses of '{}':\n  {:<12} {:>9} {:>9} {:>17} {:>17} {:>21}\n", c.lowered.program.role,
                        "pass", "ms", "verify ms", "nodes", "units", "MiB");
    double seconds = 0, verified = 0;
    for (const PassRecord& p : c.lowered.passes) {
      seconds += p.seconds;
      verified += p.verify_seconds;
      text += fmt::format("  {:<12} {:>9.2f} {:>9.2f} {:>17} {:>17} {:>21}\n", p.on ? p.name : p.name + " (off)",
                          milliseconds(p.seconds), milliseconds(p.verify_seconds),
                          change(p.before.nodes, p.after.nodes), change(p.before.units, p.after.units),
                          p.before.bytes == p.after.bytes
                              ? fmt::format("{:.2f}", mebibytes(p.after.bytes))
                              : fmt::format("{:.2f} > {:.2f}", mebibytes(p.before.bytes), mebibytes(p.after.bytes)));
    }
    text += fmt::format("  {:<12} {:>9.2f} {:>9.2f}\n", "together", milliseconds(seconds), milliseconds(verified));
  }
  text += "\ntime since this process was started:\n";
  double together = 0;
  for (const PhaseTime& p : compilation.phases) {
    together += p.seconds;
    text += fmt::format("  {:<13} {:>8.2f} ms\n", p.name, milliseconds(p.seconds));
  }
  text += fmt::format("  {:<13} {:>8.2f} ms\n", "together", milliseconds(together));
  return text;
}

std::string pass_list_text() {
  std::string text = "graph        (dump only) the whole step, as it was built\n";
  std::vector<std::string> listed;
  for (const PassDescription& p : pass_list()) {
    if (std::find(listed.begin(), listed.end(), p.name) != listed.end()) continue;
    listed.push_back(p.name);
    text += fmt::format("{:<12} {}{}\n", p.name, p.summary, p.optional ? "" : " (cannot be left out)");
  }
  return text + "program      (dump only) the program, as it will run\n";
}

std::vector<std::string> dump_names() {
  std::vector<std::string> names{"graph"};
  for (const PassDescription& p : pass_list())
    if (std::find(names.begin(), names.end(), p.name) == names.end()) names.push_back(p.name);
  names.emplace_back("program");
  return names;
}

void check_dump_name(const std::string& pass) {
  const std::vector<std::string> names = dump_names();
  if (std::find(names.begin(), names.end(), pass) == names.end())
    throw UserError(fmt::format("--dump {}: there is no such pass{}; there are: {}", pass, did_you_mean(pass, names),
                                fmt::join(names, ", ")));
}

void check_left_out(const std::vector<std::string>& passes) {
  const std::vector<std::string> names = switchable_passes();
  for (const std::string& pass : passes)
    if (std::find(names.begin(), names.end(), pass) == names.end())
      throw UserError(fmt::format("--without {0}: '{0}' is no pass that can be left out{1} (those that can: {2})", pass,
                                  did_you_mean(pass, names), fmt::join(names, ", ")));
}

std::string dump(const Compilation& compilation, const std::string& pass) {
  std::string text;
  for (const CompiledProgram& c : compilation.programs) {
    text += fmt::format("# {}\n", c.lowered.program.role);
    if (pass == "graph") text += c.before.str();
    if (pass == "program") text += c.lowered.program.str();
    for (const PassRecord& p : c.lowered.passes)
      if (p.name == pass)
        text += fmt::format("## before {}\n{}## after {}{}\n{}", p.name, p.input, p.name,
                            p.on ? "" : " (which was left out)", p.output);
    text += "\n";
  }
  return text;
}

}  // namespace weft
