// Which initializers are parameters: those that reach a weight slot.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>

#include "graph/onnx/copies.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

constexpr const char* kUnread = "read by no node";

struct WeightSlot {
  std::string_view op;
  int operand;
  std::string_view role;
};

// clang-format off
constexpr WeightSlot kWeightSlots[] = {
    {"Conv", 1, "weight"}, {"Conv", 2, "bias"}, {"ConvTranspose", 1, "weight"}, {"ConvTranspose", 2, "bias"},
    {"Gemm", 0, "weight"}, {"Gemm", 1, "weight"}, {"Gemm", 2, "bias"}, {"MatMul", 0, "weight"}, {"MatMul", 1, "weight"},
    {"Einsum", 0, "weight"}, {"Einsum", 1, "weight"}, {"Einsum", 2, "weight"},
    {"BatchNormalization", 1, "scale"}, {"BatchNormalization", 2, "bias"},
    {"InstanceNormalization", 1, "scale"}, {"InstanceNormalization", 2, "bias"},
    {"LayerNormalization", 1, "scale"}, {"LayerNormalization", 2, "bias"}, {"RMSNormalization", 1, "scale"},
    {"GroupNormalization", 1, "scale"}, {"GroupNormalization", 2, "bias"},
    {"LSTM", 1, "input weight"}, {"LSTM", 2, "recurrent weight"}, {"LSTM", 3, "bias"}, {"LSTM", 7, "peephole weight"},
    {"GRU", 1, "input weight"}, {"GRU", 2, "recurrent weight"}, {"GRU", 3, "bias"},
    {"RNN", 1, "input weight"}, {"RNN", 2, "recurrent weight"}, {"RNN", 3, "bias"},
    {"Gather", 0, "embedding"}, {"PRelu", 1, "slope"},
};
constexpr WeightSlot kStatisticSlots[] = {
    {"BatchNormalization", 3, "running mean"}, {"BatchNormalization", 4, "running variance"},
};
constexpr std::string_view kPassing[] = {"Transpose", "Reshape", "Cast", "CastLike", "Identity", "Squeeze", "Unsqueeze",
                                         "Flatten", "Expand", "Concat", "Slice", "Split"};
constexpr std::string_view kAffine[] = {"Add", "Sub", "Mul", "Div"};
constexpr std::string_view kProducers[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "BatchNormalization",
                                           "InstanceNormalization", "LayerNormalization", "RMSNormalization",
                                           "GroupNormalization", "MeanVarianceNormalization", "LpNormalization",
                                           "LSTM", "GRU", "RNN"};
// clang-format on

template <std::size_t N>
bool is_one_of(const std::string& op, const std::string_view (&list)[N]) {
  return std::find(std::begin(list), std::end(list), op) != std::end(list);
}

template <std::size_t N>
const WeightSlot* find_slot(const std::string& op, int operand, const WeightSlot (&slots)[N]) {
  for (const WeightSlot& slot : slots)
    if (slot.op == op && slot.operand == operand) return &slot;
  return nullptr;
}

struct Use {
  const pb::NodeProto* node;
  int operand;
};

/// Who reads and who makes each name, subgraphs included. Names inside subgraphs are taken to be unique, as ONNX asks.
struct Connections {
  std::unordered_map<std::string, std::vector<Use>> uses;
  std::unordered_map<std::string, const pb::NodeProto*> makers;

  void add(const pb::NodeProto& node) {
    for (int i = 0; i < node.input_size(); ++i)
      if (!node.input(i).empty()) uses[node.input(i)].push_back({&node, i});
    for (const auto& output : node.output()) makers[output] = &node;
    for (const auto& attribute : node.attribute())
      if (attribute.has_g())
        for (const auto& inner : attribute.g().node()) add(inner);
  }
};

class Judge {
 public:
  explicit Judge(const ModelContents& contents) {
    for (const pb::NodeProto* node : contents.nodes) connections_.add(*node);
  }

  /// Fills kind and reason of a floating initializer.
  void decide(InitializerVerdict& verdict) const {
    const auto users = connections_.uses.find(verdict.name);
    if (users == connections_.uses.end()) {
      verdict.reason = kUnread;
      return;
    }
    std::set<std::string> seen;
    std::vector<std::string> pending = {verdict.name};
    while (!pending.empty() && may_step()) {
      const std::string name = pending.back();
      pending.pop_back();
      const auto uses = connections_.uses.find(name);
      if (uses == connections_.uses.end() || !seen.insert(name).second) continue;
      for (const Use& use : uses->second) {
        const std::string& op = use.node->op_type();
        if (find_slot(op, use.operand, kStatisticSlots) != nullptr) {
          verdict.kind = InitializerKind::state;
          verdict.reason = role_text(find_slot(op, use.operand, kStatisticSlots)->role, *use.node);
        } else if (const std::optional<std::string> role = weight_role(use, verdict.extents)) {
          verdict.kind = InitializerKind::parameter;
          verdict.reason = *role;
          return;
        } else if (is_one_of(op, kPassing) && (use.operand == 0 || op == "Concat")) {
          pending.insert(pending.end(), use.node->output().begin(), use.node->output().end());
        }
      }
    }
    if (verdict.kind == InitializerKind::constant)
      verdict.reason = fmt::format("reaches no weight slot (read by {})", describe_node(*users->second.front().node));
  }

 private:
  static std::string role_text(std::string_view role, const pb::NodeProto& node) {
    return fmt::format("{} of {}", role, describe_node(node));
  }

  std::optional<std::string> weight_role(const Use& use, const Dims& extents) const {
    const std::string& op = use.node->op_type();
    if (!domain_of(*use.node).empty()) return std::nullopt;
    if (const WeightSlot* slot = find_slot(op, use.operand, kWeightSlots)) return role_text(slot->role, *use.node);
    if (is_class_token(use, extents)) return role_text("token", *use.node);
    if (is_position_table(use, extents)) return role_text("table of positions", *use.node);
    if (!is_one_of(op, kAffine) || use.node->input_size() != 2 || !is_vector(op, extents)) return std::nullopt;
    if (!follows_producer(use.node->input(1 - use.operand))) return std::nullopt;
    return role_text(op == "Add" || op == "Sub" ? "bias" : "scale", *use.node);
  }

  /// One entry per channel. A single number that multiplies is a constant of the formula (as in attention), one that is
  /// added may be the bias of a single output, written [1] or [1, 1].
  static bool is_vector(const std::string& op, const Dims& extents) {
    const auto wide = wide_extents(extents);
    return wide == 1 || (wide == 0 && !extents.empty() && extents.size() <= 2 && op == "Add");
  }

  static std::ptrdiff_t wide_extents(const Dims& extents) {
    return std::count_if(extents.begin(), extents.end(), [](std::int64_t e) { return e != 1; });
  }

  /// A vector that is put beside what the model computes, as the class token of vision transformers.
  bool is_class_token(const Use& use, const Dims& extents) const {
    if (use.node->op_type() != "Concat" || extents.size() < 2 || wide_extents(extents) != 1) return false;
    for (int i = 0; i < use.node->input_size(); ++i)
      if (i != use.operand && follows_producer(use.node->input(i))) return true;
    return false;
  }

  /// What is added to tokens for their places. The same added to what a softmax reads is a mask.
  bool is_position_table(const Use& use, const Dims& extents) const {
    if (use.node->op_type() != "Add" || use.node->input_size() != 2 || use.node->output_size() == 0 ||
        wide_extents(extents) < 2)
      return false;
    const std::string& tokens = use.node->input(1 - use.operand);
    return (follows_producer(tokens) || is_embedding(tokens)) && !reaches_softmax(use.node->output(0));
  }

  /// Rows of a table that no node makes.
  bool is_embedding(const std::string& name) const {
    const auto maker = connections_.makers.find(name);
    return maker != connections_.makers.end() && maker->second->op_type() == "Gather" &&
           maker->second->input_size() > 0 && !connections_.makers.contains(maker->second->input(0));
  }

  bool reaches_softmax(const std::string& name) const {
    std::set<std::string> seen;
    std::vector<std::string> pending = {name};
    while (!pending.empty() && may_step()) {
      const std::string value = pending.back();
      pending.pop_back();
      const auto uses = connections_.uses.find(value);
      if (uses == connections_.uses.end() || !seen.insert(value).second) continue;
      for (const Use& use : uses->second) {
        const std::string& op = use.node->op_type();
        if (op == "Softmax" || op == "LogSoftmax") return true;
        if (is_one_of(op, kAffine) || is_one_of(op, kPassing) || op == "Where")
          pending.insert(pending.end(), use.node->output().begin(), use.node->output().end());
      }
    }
    return false;
  }

  /// Whether a value comes from a contraction or normalisation through affine and passing operators only.
  bool follows_producer(const std::string& name) const {
    std::set<std::string> seen;
    std::vector<std::string> pending = {name};
    while (!pending.empty() && may_step()) {
      const std::string value = pending.back();
      pending.pop_back();
      const auto maker = connections_.makers.find(value);
      if (maker == connections_.makers.end() || !seen.insert(value).second) continue;
      const pb::NodeProto& node = *maker->second;
      if (is_one_of(node.op_type(), kProducers)) return true;
      if (is_one_of(node.op_type(), kAffine) || node.op_type() == "Concat")
        pending.insert(pending.end(), node.input().begin(), node.input().end());
      else if (is_one_of(node.op_type(), kPassing) && node.input_size() > 0)
        pending.push_back(node.input(0));
    }
    return false;
  }

  /// Walks are short, but a hostile model can make every one of them as long as the model: all together are bounded.
  bool may_step() const { return steps_ < kMostSteps && ++steps_ > 0; }

  static constexpr std::int64_t kMostSteps = 10'000'000;
  Connections connections_;
  mutable std::int64_t steps_ = 0;
};

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] == name[n] && pattern[p] != '*')))
      ++p, ++n;
    else if (p < pattern.size() && pattern[p] == '*')
      star = p++, resume = n;
    else if (star != std::string_view::npos)
      p = star + 1, n = ++resume;
    else
      return false;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

void apply_patterns(std::vector<InitializerVerdict>& verdicts, const std::vector<std::string>& patterns,
                    InitializerKind kind, const char* key) {
  for (const std::string& pattern : patterns) {
    bool found = false;
    for (InitializerVerdict& verdict : verdicts) {
      if (!matches(pattern, verdict.name)) continue;
      found = true;
      const auto type = dtype_from_name(verdict.type);
      if (!type || !is_float(*type)) continue;
      verdict.kind = kind;
      verdict.reason = fmt::format("named by {}: '{}'", key, pattern);
    }
    if (!found)
      throw UserError(
          fmt::format("{}: '{}' names no initializer of the model; `weft inspect` lists them", key, pattern));
  }
}

/// What PyTorch's exporter noted settles what the graph leaves open: it knows the model's parameters.
void apply_note(InitializerVerdict& verdict, const ExporterNote& note) {
  if (note.kind == ExporterNote::Kind::parameter && verdict.kind == InitializerKind::constant &&
      verdict.reason != kUnread) {
    verdict.kind = InitializerKind::parameter;
    verdict.reason = "the exporter notes that it is a parameter";
  } else if (note.kind == ExporterNote::Kind::buffer && verdict.kind == InitializerKind::parameter) {
    verdict.kind = InitializerKind::constant;
    verdict.reason = fmt::format("the exporter notes that it is a buffer, not a parameter ({})", verdict.reason);
  }
}

/// The type as Weft calls it, or ONNX's name for those that it does not compute with.
std::string type_text(std::int32_t data_type) {
  try {
    return std::string(name_of(dtype_of_onnx(data_type, "")));
  } catch (const UserError&) {
    return onnx_type_name(data_type);
  }
}

}  // namespace

std::vector<InitializerVerdict> judge_initializers(const ModelFile& file, const std::vector<std::string>& train,
                                                   const std::vector<std::string>& freeze) {
  const Judge judge(file.contents());
  const pb::GraphProto& graph = file.contents().proto.graph();
  const auto notes = exporter_notes(graph);
  std::vector<InitializerVerdict> verdicts;
  for (const auto& tensor : graph.initializer()) {
    InitializerVerdict verdict;
    verdict.name = tensor.name();
    verdict.extents.assign(tensor.dims().begin(), tensor.dims().end());
    verdict.type = type_text(tensor.data_type());
    verdict.reason = "not floating-point";
    if (const auto type = dtype_from_name(verdict.type); type && is_float(*type)) {
      judge.decide(verdict);
      if (const auto note = notes.find(tensor.name()); note != notes.end()) apply_note(verdict, note->second);
    }
    verdicts.push_back(std::move(verdict));
  }
  apply_patterns(verdicts, train, InitializerKind::parameter, "train");
  apply_patterns(verdicts, freeze, InitializerKind::state, "freeze");
  find_ties(verdicts, file.contents(), notes);
  find_copies(verdicts, file.contents());
  return verdicts;
}

}  // namespace weft::onnx
