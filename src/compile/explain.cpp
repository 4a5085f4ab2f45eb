// Grouping and printing of kernels.
#include "src/compile/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "graph/ir/passes/precision.hpp"
#include "src/compile/memory_peak.hpp"
#include "src/run/text.hpp"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

std::size_t at(int id) { return static_cast<std::size_t>(id); }

const KernelSpec& spec_of(const Program& p, const Instruction& i) { return p.kernels[at(i.kernel)]; }

bool is_reorder(const KernelSpec& spec) {
  return std::all_of(spec.body.nodes().begin(), spec.body.nodes().end(),
                     [](const Node& n) { return n.op == Op::reorder; });
}

std::vector<std::string> operators_of(const Graph& body) {
  std::vector<std::string> names;
  for (const Node& node : body.nodes()) {
    const std::string name(name_of(node.op));
    if (node.op != Op::constant && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> types(const std::vector<View>& views) {
  std::vector<std::string> texts;
  for (const View& v : views)
    texts.push_back(
        fmt::format("{}{}", name_of(v.dtype), v.layout.is_row_major() ? v.layout.shape.str() : v.layout.str()));
  return texts;
}

std::string operands(const std::vector<View>& views) { return fmt::format("{}", fmt::join(types(views), ", ")); }

/// The first few, and how many more there are.
std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  if (names.size() <= most + 1) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{} and {} more",
                     fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(most), ", "),
                     names.size() - most);
}

std::string group_text(const Program& p, const KernelGroup& g, double total) {
  const KernelSpec& spec = p.kernels[at(g.kernel)];
  const Instruction& first = p.instructions[at(g.instructions.front())];
  std::string text = fmt::format("  {:>10.3f} {:>5.1f} % {:>4} x {:<28} {}\n", 1e3 * g.seconds,
                                 total > 0 ? 100 * g.seconds / total : 0, g.instructions.size(), spec.implementation,
                                 some_of(g.operators, 12));
  constexpr const char* kIndent = "                                ";
  text += fmt::format("{}{} <- {}\n", kIndent, some_of(types(first.writes), 12), some_of(types(first.reads), 12));
  std::vector<std::string> names;
  for (const int i : g.instructions) names.push_back(p.instructions[at(i)].name);
  text += fmt::format("{}for {}\n", kIndent, some_of(names, 3));
  if (g.instructions.size() == 1 && first.sources.size() > 1)
    text += fmt::format("{}from {}\n", kIndent, some_of(first.sources, 8));
  // Several refuse for one reason.
  std::vector<std::string> told;
  for (const KernelRefusal& r : g.refusals) {
    if (std::find(told.begin(), told.end(), r.reason) != told.end()) continue;
    told.push_back(r.reason);
    std::vector<std::string> who;
    for (const KernelRefusal& other : g.refusals)
      if (other.reason == r.reason && std::find(who.begin(), who.end(), other.implementation) == who.end())
        who.push_back(other.implementation);
    text += fmt::format("{}{} refused: {}\n", kIndent, fmt::join(who, ", "), r.reason);
  }
  return text;
}

std::string totals_text(const Lowered& lowered, double total) {
  std::string text = fmt::format("  {:<30} {:>8} {:>8} {:>10} {:>7} {:>10} {:>10}\n", "implementation", "kernels",
                                 "launches", "ms", "share", "GFLOP", "MiB");
  for (const ImplementationTotal& t : total_by_implementation(lowered))
    text += fmt::format("  {:<30} {:>8} {:>8} {:>10.3f} {:>5.1f} % {:>10.3f} {:>10.2f}\n", t.implementation, t.kernels,
                        t.launches, 1e3 * t.seconds, total > 0 ? 100 * t.seconds / total : 0, t.flops / 1e9,
                        t.bytes / (1 << 20));
  return text;
}

std::string windows_text(const Lowered& lowered) {
  const auto windows = std::count_if(lowered.decisions.begin(), lowered.decisions.end(),
                                     [](const lowering::Decision& d) { return d.implementation == "window"; });
  if (windows == 0) return {};
  return fmt::format("  {} slices and concatenations are windows of other tensors: no kernel copies them\n", windows);
}

std::string memory_text(const Program& p) {
  const std::int64_t arena = p.arena_bytes[0] + p.arena_bytes[1] + p.arena_bytes[2];
  std::string text = fmt::format(
      "  arena {:.2f} MiB, {:.1f} % above the liveness bound of {:.2f}\n", mebibytes(arena),
      p.liveness_bound_bytes > 0
          ? 100.0 * static_cast<double>(arena - p.liveness_bound_bytes) / static_cast<double>(p.liveness_bound_bytes)
          : 0.0,
      mebibytes(p.liveness_bound_bytes));
  return text + peak_text(p);
}

double seconds_of(const Program& p) {
  double seconds = 0;
  for (const Instruction& i : p.instructions)
    if (i.kernel >= 0) seconds += p.kernel_seconds[at(i.kernel)];
  return seconds;
}

std::string narrow_text(const Program& p) {
  const NarrowUse use = count_narrow(p);
  if (!use.type) return {};
  std::string text = fmt::format("  {} of {} contractions read {}", use.narrow, use.contractions, name_of(*use.type));
  if (use.narrow < use.contractions)
    text += " (the others what was rounded to it, widened to f32: the device has no faster code for them)";
  return text + fmt::format("; {} widened copies in memory, {:.2f} MiB\n", use.widened, mebibytes(use.widened_bytes));
}

}  // namespace

std::vector<KernelGroup> group_kernels(const Lowered& lowered) {
  const Program& p = lowered.program;
  std::map<std::string, std::vector<KernelRefusal>> refusals;
  for (const lowering::Decision& d : lowered.decisions) refusals.try_emplace(d.key, d.refusals);
  std::vector<KernelGroup> groups(p.kernels.size());
  for (std::size_t k = 0; k < groups.size(); ++k) {
    groups[k].kernel = static_cast<int>(k);
    groups[k].operators = operators_of(p.kernels[k].body);
    if (const auto found = refusals.find(p.kernels[k].key()); found != refusals.end())
      for (const KernelRefusal& r : found->second)
        if (std::none_of(groups[k].refusals.begin(), groups[k].refusals.end(), [&](const KernelRefusal& other) {
              return other.implementation == r.implementation && other.reason == r.reason;
            }))
          groups[k].refusals.push_back(r);
  }
  for (std::size_t i = 0; i < p.instructions.size(); ++i) {
    const int kernel = p.instructions[i].kernel;
    if (kernel < 0) continue;
    groups[at(kernel)].instructions.push_back(static_cast<int>(i));
    groups[at(kernel)].seconds += p.kernel_seconds[at(kernel)];
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const KernelGroup& a, const KernelGroup& b) { return a.seconds > b.seconds; });
  return groups;
}

std::vector<ImplementationTotal> total_by_implementation(const Lowered& lowered) {
  const Program& p = lowered.program;
  std::map<std::string, ImplementationTotal> totals;
  for (const KernelSpec& spec : p.kernels) ++totals[spec.implementation].kernels;
  for (const Instruction& i : p.instructions) {
    if (i.kernel < 0) continue;
    ImplementationTotal& t = totals[spec_of(p, i).implementation];
    ++t.launches;
    t.seconds += p.kernel_seconds[at(i.kernel)];
    t.flops += spec_of(p, i).flops;
    t.bytes += spec_of(p, i).bytes;
  }
  std::vector<ImplementationTotal> list;
  for (auto& [name, t] : totals) {
    t.implementation = name;
    list.push_back(t);
  }
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return list;
}

Reorders count_reorders(const Program& program) {
  Reorders reorders;
  for (const Instruction& i : program.instructions) {
    if (i.kernel < 0 || !is_reorder(spec_of(program, i))) continue;
    ++reorders.launches;
    reorders.bytes += static_cast<std::int64_t>(spec_of(program, i).bytes);
    reorders.seconds += program.kernel_seconds[at(i.kernel)];
  }
  return reorders;
}

NarrowUse count_narrow(const Program& program) {
  NarrowUse use;
  for (const Instruction& i : program.instructions) {
    if (i.kernel < 0) continue;
    const Graph& body = spec_of(program, i).body;
    for (const GraphInput& in : body.inputs())
      if (const DType t = body.type(in.value).dtype; t == DType::f16 || t == DType::bf16) use.type = t;
    for (const GraphOutput& o : body.outputs()) {
      const Node* maker = body.producer(o.value);
      if (maker == nullptr || !is_widening(body, *maker)) continue;
      ++use.widened;
      use.widened_bytes += body.layout(o.value).bytes(DType::f32);
    }
    for (const Node& n : body.nodes())
      if (multiplied(n.op).operands > 0) {
        ++use.contractions;
        const DType t = body.type(n.inputs[0]).dtype;
        use.narrow += t == DType::f16 || t == DType::bf16 ? 1 : 0;
      }
  }
  return use;
}

std::string explain_text(const Lowered& lowered) {
  const Program& p = lowered.program;
  const double total = seconds_of(p);
  const std::vector<KernelGroup> groups = group_kernels(lowered);
  const Reorders reorders = count_reorders(p);
  std::string text = fmt::format("\nkernels of '{}' (times are estimates):\n", p.role);
  text += totals_text(lowered, total);
  text += fmt::format("  {} reorders move {:.2f} MiB in {:.3f} ms\n", reorders.launches, mebibytes(reorders.bytes),
                      1e3 * reorders.seconds);
  text += narrow_text(p);
  text += windows_text(lowered);
  text += memory_text(p);
  text += fmt::format("\n  {:>10} {:>7} {:>6} {:<28} {}\n", "ms", "share", "count", "implementation", "operators");
  for (const KernelGroup& g : groups) text += group_text(p, g, total);
  return text;
}

Json explain_json(const Lowered& lowered) {
  const Program& p = lowered.program;
  Json out;
  const Reorders reorders = count_reorders(p);
  out["reorders"] = {
      {"launches", reorders.launches}, {"bytes", reorders.bytes}, {"estimated_ms", 1e3 * reorders.seconds}};
  if (const NarrowUse use = count_narrow(p); use.type)
    out["narrow"] = {{"type", name_of(*use.type)},
                     {"contractions", use.contractions},
                     {"narrow", use.narrow},
                     {"widened_copies", use.widened},
                     {"widened_bytes", use.widened_bytes}};
  for (const ImplementationTotal& t : total_by_implementation(lowered))
    out["implementations"].push_back({{"implementation", t.implementation},
                                      {"kernels", t.kernels},
                                      {"launches", t.launches},
                                      {"estimated_ms", 1e3 * t.seconds},
                                      {"flops", t.flops},
                                      {"bytes", t.bytes}});
  out["peak"] = peak_json(p);
  out["groups"] = Json::array();
  for (const KernelGroup& g : group_kernels(lowered)) {
    const KernelSpec& spec = p.kernels[at(g.kernel)];
    const Instruction& first = p.instructions[at(g.instructions.front())];
    Json names = Json::array(), refusals = Json::array();
    for (const int i : g.instructions)
      names.push_back(
          {{"instruction", i}, {"name", p.instructions[at(i)].name}, {"sources", p.instructions[at(i)].sources}});
    for (const KernelRefusal& r : g.refusals)
      refusals.push_back({{"implementation", r.implementation}, {"reason", r.reason}});
    out["groups"].push_back({{"implementation", spec.implementation},
                             {"estimated_ms", 1e3 * g.seconds},
                             {"flops", spec.flops},
                             {"bytes", spec.bytes},
                             {"operators", g.operators},
                             {"reads", operands(first.reads)},
                             {"writes", operands(first.writes)},
                             {"launches", std::move(names)},
                             {"refusals", std::move(refusals)}});
  }
  return out;
}

}  // namespace weft
