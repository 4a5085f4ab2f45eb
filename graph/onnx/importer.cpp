// The walk over a model's nodes: operands are looked up, the operator's rule is applied, what fails is noted.
#include "graph/onnx/importer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

// Stands for a value whose node could not be imported; nodes that read it are passed over silently.
constexpr ValueId kPoisoned = -2;

// Limits on what a small file can grow into.
constexpr std::int64_t kMostPrimitives = 4'000'000;
constexpr std::int64_t kMostMadeNumbers = std::int64_t{1} << 26;
constexpr std::int64_t kMostSequenceElements = 20'000'000;

std::string symbol_of(const pb::ValueInfoProto& input, int dimension) {
  const auto& dim = input.type().tensor_type().shape().dim(dimension);
  return !dim.dim_param().empty() ? dim.dim_param() : fmt::format("{}.{}", input.name(), dimension);
}

bool is_symbolic(const pb::TensorShapeProto::Dimension& dim) { return !dim.has_dim_value() || dim.dim_value() < 0; }

bool is_one_of(const std::string& op, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), op) != list.end();
}

/// Operators that know narrow types, or do not look at values.
bool takes_narrow(const std::string& op) {
  return is_one_of(op, {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "Identity", "Shape", "Size", "If"});
}

/// Operators whose results hold elements of their first operand and nothing else.
bool moves_elements(const std::string& op) {
  return is_one_of(
      op, {"Reshape", "Transpose", "Slice", "Gather", "Squeeze", "Unsqueeze", "Expand", "Flatten", "Split", "Tile"});
}

std::unordered_map<std::string, const pb::TensorProto*> initializer_map(const pb::GraphProto& graph) {
  std::unordered_map<std::string, const pb::TensorProto*> map;
  for (const auto& tensor : graph.initializer()) map[tensor.name()] = &tensor;
  return map;
}

}  // namespace

GraphImporter::GraphImporter(const ModelContents& contents, const ImportOptions& options)
    : contents_(contents),
      options_(options),
      constants_(builder_),
      scopes_(1),
      initializers_(initializer_map(contents.proto.graph())) {
  for (const auto& output : contents.proto.graph().output()) read_.insert(output.name());
  for (const pb::NodeProto* node : contents.nodes) add_names_read(*node, read_);
}

bool GraphImporter::is_read(const pb::NodeProto& node, int output) const {
  return output < node.output_size() && !node.output(output).empty() && read_.contains(node.output(output));
}

ImportAttempt GraphImporter::run() {
  add_inputs();
  import_nodes(contents_.nodes);
  if (attempt_.problems.empty()) add_outputs();
  attempt_.graph = std::move(builder_).take();
  return std::move(attempt_);
}

TensorType GraphImporter::input_type(const pb::ValueInfoProto& input) {
  const std::string where = "input '" + input.name() + "'";
  const pb::TypeProto& declared =
      input.type().has_optional_type() ? input.type().optional_type().elem_type() : input.type();
  if (!declared.has_tensor_type())
    throw Unsupported(where + " is a sequence, map or sparse tensor; what is trained and predicted takes tensors");
  const auto& tensor = declared.tensor_type();
  TensorType type;
  type.dtype = carrier_of(tensor.elem_type(), where);
  if (const auto it = options_.shapes.find(input.name()); it != options_.shapes.end()) {
    if (tensor.has_shape() && tensor.shape().dim_size() != it->second.rank())
      throw Unsupported(fmt::format("{} has {} dimensions; the shape {} that it was given has {}", where,
                                    tensor.shape().dim_size(), it->second.str(), it->second.rank()));
    type.shape = it->second;
    return type;
  }
  if (!tensor.has_shape()) throw Unsupported(where + " has no shape in the file; give its whole shape");
  Dims extents;
  for (int d = 0; d < tensor.shape().dim_size(); ++d) {
    const auto& dim = tensor.shape().dim(d);
    if (!is_symbolic(dim)) {
      extents.push_back(dim.dim_value());
      continue;
    }
    const std::string symbol = symbol_of(input, d);
    const auto it = options_.symbols.find(symbol);
    if (it == options_.symbols.end())
      throw Unsupported(fmt::format("{}: dimension {} is symbolic ('{}') and was given no extent", where, d, symbol));
    extents.push_back(it->second);
  }
  type.shape = Shape(std::move(extents));
  return type;
}

ValueId GraphImporter::add_input(const pb::ValueInfoProto& input) {
  if (options_.absent.contains(input.name())) return kAbsent;
  const auto sequence = options_.sequences.find(input.name());
  if (sequence == options_.sequences.end()) {
    const ValueId id = builder_.input(input.name(), InputRole::feed, input_type(input));
    if (const NarrowType* narrow = narrow_type(input.type().tensor_type().elem_type())) note_narrow(id, *narrow);
    return id;
  }
  std::vector<ValueId> elements;
  for (const TensorType& type : sequence->second)
    elements.push_back(builder_.input(fmt::format("{}[{}]", input.name(), elements.size()), InputRole::feed, type));
  return make_sequence(std::move(elements));
}

const NarrowType* GraphImporter::narrow_of(ValueId id) const {
  const auto it = narrow_.find(id);
  return it == narrow_.end() ? nullptr : it->second;
}

void GraphImporter::charge(std::int64_t numbers) {
  charged_ += numbers;
  if (charged_ > kMostMadeNumbers)
    throw Unsupported(fmt::format("with it, constants made on import take more than {} numbers", kMostMadeNumbers));
}

ValueId GraphImporter::make_sequence(std::vector<ValueId> elements) {
  sequence_elements_ += static_cast<std::int64_t>(elements.size());
  if (sequence_elements_ > kMostSequenceElements)
    throw Unsupported(fmt::format("with it, sequences hold more than {} tensors in all", kMostSequenceElements));
  sequences_.push_back(std::move(elements));
  return kFirstSequence - static_cast<ValueId>(sequences_.size() - 1);
}

const std::vector<ValueId>& GraphImporter::elements(ValueId sequence) const {
  return sequences_.at(static_cast<std::size_t>(kFirstSequence - sequence));
}

void GraphImporter::add_inputs() {
  for (const auto& input : contents_.proto.graph().input()) {
    if (initializers_.count(input.name()) != 0) continue;
    if (const auto it = options_.constants.find(input.name()); it != options_.constants.end()) {
      const ValueId id = builder_.input(input.name(), InputRole::feed, {it->second.dtype(), it->second.shape()});
      constants_.set(id, it->second);
      attempt_.bound[input.name()] = it->second;
      if (const NarrowType* narrow = narrow_type(input.type().tensor_type().elem_type())) note_narrow(id, *narrow);
      scopes_.front()[input.name()] = id;
      continue;
    }
    scopes_.front()[input.name()] = kPoisoned;
    try {
      scopes_.front()[input.name()] = add_input(input);
    } catch (const Unsupported& e) {
      problem(e.what());
    } catch (const UserError& e) {
      problem(e.what());
    }
  }
}

const Tensor& GraphImporter::literal(const pb::TensorProto& tensor, const std::string& where) {
  const auto it = literals_.find(&tensor);
  return it != literals_.end() ? it->second
                               : literals_.emplace(&tensor, tensor_of(tensor, contents_.places, where)).first->second;
}

ValueId GraphImporter::lookup(const std::string& name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (const auto it = scope->find(name); it != scope->end()) return it->second;
  const auto it = initializers_.find(name);
  if (it == initializers_.end()) return kPoisoned;  // check_model has seen to it that the name exists
  ValueId id = kPoisoned;
  try {
    InitialValue value = value_of(*it->second, contents_.places, "initializer '" + name + "'");
    id = builder_.input(name, InputRole::state, {value.dtype(), value.shape()});
    constants_.set(id, value);
    if (const NarrowType* narrow = narrow_type(it->second->data_type())) note_narrow(id, *narrow);
    attempt_.initializers[name] = std::move(value);
  } catch (const UserError& e) {
    problem(e.what());
  }
  scopes_.front()[name] = id;
  return id;
}

void GraphImporter::poison(const pb::NodeProto& node) {
  for (const auto& output : node.output())
    if (!output.empty()) scopes_.back()[output] = kPoisoned;
}

void GraphImporter::import_nodes(const std::vector<const pb::NodeProto*>& nodes) {
  for (const pb::NodeProto* node : nodes) {
    if (++imported_ > ModelLimits{}.nodes)  // loops multiply
      throw UserError(fmt::format("more than {} nodes after loops are unrolled", ModelLimits{}.nodes));
    if (static_cast<std::int64_t>(builder_.graph().nodes().size()) > kMostPrimitives)
      throw UserError(fmt::format("more than {} operations after operators are decomposed", kMostPrimitives));
    try {
      import_node(*node);
      continue;
    } catch (const AlreadyReported&) {
    } catch (const NeedsConstants& e) {
      attempt_.needed_constants.insert(e.inputs().begin(), e.inputs().end());
      problem(fmt::format("{}: {}", describe_node(*node), e.what()));
    } catch (const Unsupported& e) {
      problem(fmt::format("{}: {}", describe_node(*node), e.what()));
    } catch (const UserError& e) {
      problem(fmt::format("{}: {}", describe_node(*node), e.what()));
    }
    poison(*node);
  }
}

void GraphImporter::import_node(const pb::NodeProto& node) {
  std::vector<ValueId> operands;
  for (const auto& input : node.input()) {
    operands.push_back(input.empty() ? kNone : lookup(input));
    if (operands.back() == kPoisoned) throw AlreadyReported();
  }
  const std::vector<ValueId> results = apply_rule(node, std::move(operands));
  for (int i = 0; i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    if (i >= static_cast<int>(results.size()) || results[static_cast<std::size_t>(i)] == kNone) {
      if (!is_read(node, i)) continue;
      throw Unsupported(fmt::format("its output {} ('{}') is not supported", i, node.output(i)));
    }
    scopes_.back()[node.output(i)] = results[static_cast<std::size_t>(i)];
  }
}

std::vector<ValueId> GraphImporter::apply_rule(const pb::NodeProto& node, std::vector<ValueId> operands) {
  const std::string domain = domain_of(node);
  const std::int64_t version = contents_.opset(domain);
  std::string reason;
  const OpRow* row = find_row(domain, node.op_type(), version, &reason);
  if (row == nullptr) throw Unsupported(reason);
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (operands[i] < kNone && !row->sequences)
      throw Unsupported(fmt::format("its operand {} is a {} where a tensor is expected", i,
                                    operands[i] == kAbsent ? "missing optional" : "sequence of tensors"));
  const ScopedName named(builder_, !node.name().empty() ? node.name() : node.output_size() > 0 ? node.output(0) : "");
  OpContext context(*this, builder_, constants_, node, std::move(operands), version);
  const NarrowType* narrow = narrow_operand(node, context.operands());
  std::vector<ValueId> results = row->rule(context);
  if (narrow != nullptr && moves_elements(node.op_type()))
    for (const ValueId result : results)
      if (is_tensor(result)) note_narrow(result, *narrow);
  return results;
}

const NarrowType* GraphImporter::narrow_operand(const pb::NodeProto& node, const std::vector<ValueId>& operands) const {
  const NarrowType* found = nullptr;
  for (const ValueId operand : operands)
    if (const NarrowType* narrow = narrow_of(operand)) found = narrow;
  if (found != nullptr &&
      !(domain_of(node).empty() && (takes_narrow(node.op_type()) || moves_elements(node.op_type()))))
    throw Unsupported(fmt::format("it computes on {}, which Weft casts, quantises and moves only; dequantise first",
                                  onnx_type_name(found->onnx)));
  return found;
}

std::vector<ValueId> GraphImporter::import_subgraph(const pb::GraphProto& graph,
                                                    const std::vector<ValueId>& arguments) {
  if (static_cast<int>(arguments.size()) != graph.input_size())
    throw Unsupported(
        fmt::format("subgraph '{}' takes {} inputs, not {}", graph.name(), graph.input_size(), arguments.size()));
  scopes_.emplace_back();
  const std::size_t problems = attempt_.problems.size();
  std::vector<ValueId> results;
  try {
    for (int i = 0; i < graph.input_size(); ++i)
      scopes_.back()[graph.input(i).name()] = arguments[static_cast<std::size_t>(i)];
    for (const auto& tensor : graph.initializer())
      scopes_.back()[tensor.name()] = builder_.constant(literal(tensor, "initializer '" + tensor.name() + "'"));
    import_nodes(sorted_nodes(graph.node(), [](const std::string&) { return true; }));
    for (const auto& output : graph.output()) results.push_back(lookup(output.name()));
  } catch (...) {
    scopes_.pop_back();
    throw;
  }
  scopes_.pop_back();
  if (attempt_.problems.size() != problems) throw AlreadyReported();
  for (const ValueId result : results)
    if (result == kPoisoned) throw AlreadyReported();
  return results;
}

void GraphImporter::add_outputs() {
  for (const auto& output : contents_.proto.graph().output()) {
    const ValueId value = lookup(output.name());
    if (value == kPoisoned)
      problem(fmt::format("output '{}' is not a tensor that Weft computes", output.name()));
    else if (is_sequence(value))
      for (std::size_t i = 0; i < elements(value).size(); ++i)
        builder_.output(fmt::format("{}[{}]", output.name(), i), OutputRole::fetch, elements(value)[i]);
    else if (value != kAbsent)
      builder_.output(output.name(), OutputRole::fetch, value);
  }
}

ImportAttempt attempt_import(const ModelFile& file, const ImportOptions& options) {
  return GraphImporter(file.contents(), options).run();
}

std::vector<DeclaredInput> declared_inputs(const ModelFile& file) {
  std::vector<DeclaredInput> inputs;
  const auto initializers = initializer_map(file.contents().proto.graph());
  for (const auto& input : file.contents().proto.graph().input()) {
    if (initializers.count(input.name()) != 0) continue;
    DeclaredInput& declared = inputs.emplace_back(DeclaredInput{input.name(), {}});
    const auto& shape = input.type().tensor_type().shape();
    for (int d = 0; d < shape.dim_size(); ++d)
      declared.dimensions.push_back(is_symbolic(shape.dim(d)) ? DeclaredDimension{symbol_of(input, d), 0}
                                                              : DeclaredDimension{"", shape.dim(d).dim_value()});
  }
  return inputs;
}

std::vector<std::string> symbolic_dimensions(const ModelFile& file) {
  std::vector<std::string> symbols;
  for (const DeclaredInput& input : declared_inputs(file))
    for (const DeclaredDimension& d : input.dimensions)
      if (!d.symbol.empty() && std::find(symbols.begin(), symbols.end(), d.symbol) == symbols.end())
        symbols.push_back(d.symbol);
  return symbols;
}

std::vector<std::string> input_names(const ModelFile& file) {
  std::vector<std::string> names;
  for (const DeclaredInput& input : declared_inputs(file)) names.push_back(input.name);
  return names;
}

std::vector<std::string> output_names(const ModelFile& file) {
  std::vector<std::string> names;
  for (const auto& output : file.contents().proto.graph().output()) names.push_back(output.name());
  return names;
}

}  // namespace weft::onnx
