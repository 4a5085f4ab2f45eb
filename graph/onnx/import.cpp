// From what the walk found to a Model: constants are folded, initializers become parameters, statistics or constants,
// and what no output needs is left out.
#include "graph/onnx/import.hpp"

#include <fmt/format.h>

#include <map>
#include <set>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/importer.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

// Folding must not turn a broadcast scalar into megabytes: results above this stay computed, unless they shrink.
constexpr std::int64_t kSmallConstant = 4096;
// Steps of folding in a whole model: beyond them operators on constants run as others do.
constexpr std::int64_t kMostFolded = std::int64_t{1} << 26;

/// Copies the live part of an attempt's graph, folding what depends on constants only.
class Finisher {
 public:
  Finisher(const ImportAttempt& attempt, const std::map<std::string, InitializerVerdict>& verdicts)
      : attempt_(attempt), verdicts_(verdicts), from_(attempt.graph), mapped_(from_.values().size(), kNone) {}

  Model run() {
    mark_live();
    add_inputs();
    for (std::size_t n = 0; n < from_.nodes().size(); ++n)
      if (live_[n]) add_node(from_.nodes()[n]);
    for (const GraphOutput& output : from_.outputs())
      model_.forward.add_output(output.name, output.role, mapped(output.value));
    return std::move(model_);
  }

 private:
  void mark_live() {
    live_.assign(from_.nodes().size(), false);
    needed_.assign(from_.values().size(), false);
    for (const GraphOutput& output : from_.outputs()) needed_[static_cast<std::size_t>(output.value)] = true;
    for (std::size_t n = from_.nodes().size(); n-- > 0;) {
      const Node& node = from_.nodes()[n];
      for (const ValueId output : node.outputs) live_[n] = live_[n] || needed_[static_cast<std::size_t>(output)];
      if (!live_[n]) continue;
      for (const ValueId input : node.inputs) needed_[static_cast<std::size_t>(input)] = true;
    }
  }

  void add_inputs() {
    for (const GraphInput& input : from_.inputs()) {
      if (const auto bound = attempt_.bound.find(input.name); bound != attempt_.bound.end()) {
        known_[input.value] = bound->second;
      } else if (input.role == InputRole::feed) {
        map(input.value, model_.forward.add_input(input.name, input.role, from_.type(input.value)));
      } else if (needed_[static_cast<std::size_t>(input.value)]) {
        add_initializer(input);
      }
    }
  }

  void add_initializer(const GraphInput& input) {
    if (mapped_[static_cast<std::size_t>(input.value)] != kNone) return;
    const InitialValue& value = attempt_.initializers.at(input.name);
    const InitializerVerdict& verdict = verdicts_.at(input.name);
    if (verdict.kind == InitializerKind::constant) {
      known_[input.value] = value.value();
      return;
    }
    if (!verdict.tied_to.empty() && add_tied(input, verdict)) return;
    map(input.value, model_.forward.add_input(input.name, InputRole::state, from_.type(input.value)));
    model_.states.push_back({input.name, value, verdict.kind == InitializerKind::parameter, verdict.reason});
  }

  /// A parameter that the file holds twice is one state; the second is computed from it. False where no node reads
  /// the first, so that there is nothing to share.
  bool add_tied(const GraphInput& input, const InitializerVerdict& verdict) {
    const ValueId original = from_.find_input(verdict.tied_to);
    if (original == kNone || !needed_[static_cast<std::size_t>(original)]) return false;
    for (const GraphInput& other : from_.inputs())
      if (other.value == original) add_initializer(other);
    const ValueId shared = mapped_[static_cast<std::size_t>(original)];
    if (shared == kNone) return false;
    if (!verdict.transposed) {
      map(input.value, shared);
      return true;
    }
    const NodeId turned =
        model_.forward.append(Op::transpose, {shared}, {{"order", Dims{1, 0}}}, {from_.type(input.value)}, input.name);
    map(input.value, model_.forward.node(turned).outputs.front());
    return true;
  }

  bool foldable(const Node& node) const {
    if (!node.bodies.empty() || node.op == Op::random_bits || node.op == Op::dropout) return false;
    std::int64_t result = 0, operands = 0;
    for (const ValueId output : node.outputs) result += from_.type(output).shape.elements();
    for (const ValueId input : node.inputs) {
      if (known_.count(input) == 0) return false;
      operands += from_.type(input).shape.elements();
    }
    return result <= std::max(kSmallConstant, operands) && steps_of(from_, node) <= kMostFolded - folded_;
  }

  void add_node(const Node& node) {
    if (node.literal) {
      known_[node.outputs.front()] = *node.literal;
      return;
    }
    std::vector<TensorType> types;
    for (const ValueId output : node.outputs) types.push_back(from_.type(output));
    if (foldable(node)) {
      std::vector<Tensor> operands;
      for (const ValueId input : node.inputs) operands.push_back(known_.at(input));
      std::vector<Tensor> results = interpret_node(node, types, operands);
      folded_ += steps_of(from_, node);
      for (std::size_t i = 0; i < results.size(); ++i) known_[node.outputs[i]] = std::move(results[i]);
      return;
    }
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(mapped(input));
    const NodeId id = model_.forward.append(node.op, std::move(inputs), node.attributes, std::move(types), node.name);
    model_.forward.node(id).bodies = node.bodies;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) map(node.outputs[i], model_.forward.node(id).outputs[i]);
  }

  void map(ValueId from, ValueId to) { mapped_[static_cast<std::size_t>(from)] = to; }

  /// The new graph's value; a known one becomes a constant node where it is first needed.
  ValueId mapped(ValueId from) {
    ValueId& to = mapped_[static_cast<std::size_t>(from)];
    if (to != kNone) return to;
    const NodeId id = model_.forward.append(Op::constant, {}, {}, {from_.type(from)});
    model_.forward.node(id).literal = known_.at(from);
    return to = model_.forward.node(id).outputs.front();
  }

  const ImportAttempt& attempt_;
  const std::map<std::string, InitializerVerdict>& verdicts_;
  const Graph& from_;
  std::vector<ValueId> mapped_;
  std::vector<bool> live_, needed_;
  std::map<ValueId, Tensor> known_;
  std::int64_t folded_ = 0;  ///< steps
  Model model_;
};

[[noreturn]] void throw_problems(const ModelFile& file, const std::vector<std::string>& problems) {
  constexpr std::size_t kShown = 100;
  std::string text = fmt::format("{}: {} obstacle{} to using this model:", file.path(), problems.size(),
                                 problems.size() == 1 ? "" : "s");
  for (std::size_t i = 0; i < problems.size() && i < kShown; ++i) text += "\n  - " + problems[i];
  if (problems.size() > kShown) text += fmt::format("\n  ... and {} more", problems.size() - kShown);
  throw UserError(text);
}

void check_options(const ModelFile& file, const ImportOptions& options) {
  const std::vector<std::string> inputs = input_names(file), symbols = symbolic_dimensions(file);
  const auto check = [&](const auto& given, const std::vector<std::string>& allowed, const char* what) {
    for (const auto& entry : given)
      if (std::find(allowed.begin(), allowed.end(), entry.first) == allowed.end())
        throw UserError(fmt::format("{}: has no {} '{}'; it has: {}", file.path(), what, entry.first,
                                    allowed.empty() ? "none" : fmt::format("{}", fmt::join(allowed, ", "))));
  };
  check(options.symbols, symbols, "symbolic dimension");
  check(options.shapes, inputs, "input");
  check(options.constants, inputs, "input");
}

}  // namespace

Model import_model(const ModelFile& file, const ImportOptions& options) {
  check_options(file, options);
  const ImportAttempt attempt = attempt_import(file, options);
  if (!attempt.problems.empty()) throw_problems(file, attempt.problems);
  std::map<std::string, InitializerVerdict> verdicts;
  for (InitializerVerdict& verdict : judge_initializers(file, options.train, options.freeze))
    verdicts.emplace(verdict.name, std::move(verdict));
  return Finisher(attempt, verdicts).run();
}

std::vector<std::string> required_constants(const ModelFile& file, const ImportOptions& options) {
  const ImportAttempt attempt = attempt_import(file, options);
  return {attempt.needed_constants.begin(), attempt.needed_constants.end()};
}

}  // namespace weft::onnx
