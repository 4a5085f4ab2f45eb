// Running backend-test cases.
#include "graph/onnx/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "graph/onnx/import.hpp"
#include "graph/onnx/narrow.hpp"
#include "graph/onnx/proto.hpp"
#include "graph/onnx/verify_data.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

namespace fs = std::filesystem;

using Ports = std::vector<const pb::ValueInfoProto*>;
using Values = std::map<std::string, PortValue>;

struct DataSet {
  std::string name;
  std::vector<PortValue> inputs, outputs;
};

/// The model's inputs without initializers, which the files of a data set follow in order; and its outputs.
Ports input_ports(const ModelFile& file) {
  Ports ports;
  const std::vector<std::string> names = input_names(file);
  for (const auto& port : file.contents().proto.graph().input())
    if (std::find(names.begin(), names.end(), port.name()) != names.end()) ports.push_back(&port);
  return ports;
}

Ports output_ports(const ModelFile& file) {
  Ports ports;
  for (const auto& port : file.contents().proto.graph().output()) ports.push_back(&port);
  return ports;
}

std::vector<fs::path> data_set_folders(const fs::path& folder) {
  std::vector<fs::path> sets;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && entry.path().filename().string().starts_with("test_data_set_"))
      sets.push_back(entry.path());
  std::sort(sets.begin(), sets.end());
  return sets;
}

ImportOptions bindings(const Values& inputs) {
  ImportOptions options;
  for (const auto& [name, value] : inputs) {
    if (value.kind == PortValue::Kind::tensor) options.shapes[name] = value.tensors.front().shape();
    if (value.kind == PortValue::Kind::absent) options.absent.insert(name);
    if (value.kind != PortValue::Kind::sequence) continue;
    auto& types = options.sequences[name];
    for (const Tensor& tensor : value.tensors) types.push_back({tensor.dtype(), tensor.shape()});
  }
  return options;
}

/// The model with this data set's shapes, and with the values of inputs that decide shapes bound to the set's.
Model import_for(const ModelFile& file, const Values& inputs) {
  ImportOptions options = bindings(inputs);
  // Each round can only uncover needs that the last one hid.
  for (std::size_t round = 0; round <= inputs.size(); ++round) {
    const std::vector<std::string> needed = required_constants(file, options);
    if (needed.empty()) break;
    for (const std::string& name : needed)
      if (const auto it = inputs.find(name); it != inputs.end() && it->second.kind == PortValue::Kind::tensor)
        options.constants[name] = it->second.tensors.front();
  }
  return import_model(file, options);
}

/// Cases of the published suite whose expected values contradict their own model, with what is wrong.
struct KnownFault {
  std::string_view name, reason;
};
constexpr KnownFault kKnownFaults[] = {
    {"test_adam_multiple", "the suite's expected values were made with epsilon 0.01, which its model does not say"},
    {"test_dft_inverse", "the suite expects the rounding errors of another algorithm where the exact result is 0"},
    {"test_dft_inverse_opset19",
     "the suite expects the rounding errors of another algorithm where the exact result is 0"},
};

/// Why a case's expected values cannot be reproduced by anyone; "" when they can.
std::string reason_not_comparable(const fs::path& folder, const ModelFile& file, const Graph& graph) {
  for (const KnownFault& fault : kKnownFaults)
    if (folder.filename().string() == fault.name) return std::string(fault.reason);
  bool training_mode = false, drops = false;
  for (const pb::NodeProto* node : file.contents().nodes)
    training_mode = training_mode || (node->op_type() == "Dropout" && node->input_size() > 2);
  for (const Node& node : graph.nodes())
    drops = drops || (node.op == Op::dropout && node.attributes.number("ratio") > 0);
  if (training_mode && drops) return "Dropout in training mode draws random numbers that the file does not define";
  return "";
}

/// The suite of ONNX 1.12 stores bfloat16 as the integers of its bits, for NumPy had no such type.
Tensor with_bits_as(DType type, const Tensor& tensor) {
  if (type != DType::bf16 || tensor.dtype() != DType::u16) return tensor;
  Tensor result(DType::bf16, tensor.shape());
  std::copy_n(tensor.data(), tensor.bytes(), result.mutable_data());
  return result;
}

/// The same suite stores some of them flat.
Tensor with_declared_shape(const pb::TypeProto& type, const Tensor& tensor) {
  const auto& shape = type.tensor_type().shape();
  Dims extents;
  for (const auto& dim : shape.dim()) extents.push_back(dim.dim_value());
  const bool flat = tensor.shape().rank() == 1 && extents.size() > 1;
  return flat && Shape(extents).elements() == tensor.elements() ? tensor.reshaped(Shape(extents)) : tensor;
}

/// "" when they agree within the tolerance; else what differs. `error` takes the largest difference.
std::string difference(const Tensor& got, const Tensor& want, const VerifyOptions& options, double* error) {
  if (got.dtype() != want.dtype())
    return fmt::format("has type {}, expected {}", name_of(got.dtype()), name_of(want.dtype()));
  if (got.shape() != want.shape())
    return fmt::format("has shape {}, expected {}", got.shape().str(), want.shape().str());
  const double relative =
      want.dtype() == DType::bf16 ? std::max(options.relative_tolerance, 1.0 / 64) : options.relative_tolerance;
  std::string worst;
  double excess = 0;
  for (std::int64_t i = 0; i < want.elements(); ++i) {
    if (!is_float(want.dtype()) && got.as_int(i) == want.as_int(i)) continue;
    const double g = got.as_double(i), w = want.as_double(i);
    if (g == w || (std::isnan(g) && std::isnan(w))) continue;
    const double d = std::abs(g - w);
    if (!std::isnan(d)) *error = std::max(*error, d);
    const double over = std::isfinite(d) ? d - (options.absolute_tolerance + relative * std::abs(w)) : INFINITY;
    if (over > excess || (over > 0 && worst.empty())) {
      excess = over;
      worst = fmt::format("element {} is {}, expected {}", i, g, w);
    }
  }
  return worst;
}

/// The data set's inputs by name, in the types that the model declares.
Values named_inputs(const ModelFile& file, const DataSet& set) {
  const Ports ports = input_ports(file);
  Values values;
  for (std::size_t i = 0; i < set.inputs.size(); ++i) {
    PortValue value = set.inputs[i];
    if (ports[i]->type().has_tensor_type())
      value.tensors.front() =
          with_bits_as(carrier_of(ports[i]->type().tensor_type().elem_type(), "input '" + ports[i]->name() + "'"),
                       value.tensors.front());
    if (value.kind == PortValue::Kind::tensor)
      value.tensors.front() = with_declared_shape(ports[i]->type(), value.tensors.front());
    values[ports[i]->name()] = std::move(value);
  }
  return values;
}

std::map<std::string, Tensor> arguments_of(const Model& model, const Values& values, const std::string& set) {
  std::map<std::string, Tensor> given;
  for (const auto& [name, value] : values)
    for (std::size_t i = 0; i < value.tensors.size(); ++i) given[feed_name(name, value, i)] = value.tensors[i];
  std::map<std::string, Tensor> arguments;
  for (const GraphInput& input : model.forward.inputs()) {
    if (input.role != InputRole::feed) continue;
    const auto it = given.find(input.name);
    if (it == given.end()) throw UserError(fmt::format("{} has no input '{}'", set, input.name));
    if (it->second.dtype() != model.forward.type(input.value).dtype)
      throw UserError(fmt::format("{}: input '{}' has another type than the model's", set, input.name));
    arguments[input.name] = it->second;
  }
  for (const ModelState& state : model.states) arguments[state.name] = state.initial.value();
  return arguments;
}

/// "" when an output is what the data set expects.
std::string port_difference(const std::map<std::string, Tensor>& got, const std::string& name, const PortValue& want,
                            const VerifyOptions& options, double* error) {
  for (std::size_t i = 0; i < want.tensors.size(); ++i) {
    const std::string fetch = feed_name(name, want, i);
    const auto it = got.find(fetch);
    if (it == got.end()) return fmt::format("has no element {}, expected {} of them", i, want.tensors.size());
    const Tensor expected = with_bits_as(it->second.dtype(), want.tensors[i]);
    if (const std::string text = difference(it->second, expected, options, error); !text.empty())
      return fetch == name ? text : fmt::format("[{}] {}", i, text);
  }
  if (want.kind == PortValue::Kind::absent && got.contains(name)) return "holds a tensor, expected none";
  if (want.kind == PortValue::Kind::sequence && got.contains(feed_name(name, want, want.tensors.size())))
    return fmt::format("has more than the {} elements expected", want.tensors.size());
  return "";
}

void run_data_set(const ModelFile& file, const DataSet& set, const Evaluator& evaluator, const VerifyOptions& options,
                  CaseResult& result) {
  const Values values = named_inputs(file, set);
  const Model model = import_for(file, values);
  const std::map<std::string, Tensor> got = evaluator(model.forward, arguments_of(model, values, set.name));
  const std::vector<std::string> outputs = output_names(file);
  for (std::size_t i = 0; i < set.outputs.size(); ++i) {
    const std::string text = port_difference(got, outputs[i], set.outputs[i], options, &result.max_error);
    if (text.empty()) continue;
    if (const std::string reason = reason_not_comparable(result.folder, file, model.forward); !reason.empty())
      throw UserError(reason);
    result.status = CaseStatus::fail;
    result.detail = fmt::format("{}: output '{}' {}", set.name, outputs[i], text);
    return;
  }
}

std::vector<std::string> operators_of(const ModelFile& file) {
  std::set<std::string> names;
  for (const pb::NodeProto* node : file.contents().nodes)
    names.insert(domain_of(*node).empty() ? node->op_type() : domain_of(*node) + "." + node->op_type());
  return {names.begin(), names.end()};
}

/// An error's message on one line, without the path that the reader sees already.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::string result;
  for (const char ch : text)
    if (ch != ' ' || result.empty() || result.back() != ' ') result += ch;
  return result;
}

}  // namespace

CaseResult verify_case(const fs::path& folder, const Evaluator& evaluator, const VerifyOptions& options) {
  CaseResult result;
  result.folder = folder;
  try {
    const std::vector<fs::path> sets = data_set_folders(folder);
    if (sets.empty()) throw UserError("has no test_data_set_* folder");
    const fs::path path = folder / "model.onnx";
    if (static_cast<std::int64_t>(fs::file_size(path)) > options.file_bytes)
      throw UserError(fmt::format("model.onnx is larger than {} bytes", options.file_bytes));
    const ModelFile file = load_model(path);
    result.operators = operators_of(file);
    for (const fs::path& set : sets) {
      if (result.status != CaseStatus::pass) break;
      run_data_set(file,
                   {set.filename().string(), read_ports(set, "input", input_ports(file), options.file_bytes),
                    read_ports(set, "output", output_ports(file), options.file_bytes)},
                   evaluator, options, result);
    }
  } catch (const UserError& e) {
    result.status = CaseStatus::unsupported;
    result.detail = one_line(e.what());
  } catch (const InternalError& e) {
    result.status = CaseStatus::fail;
    result.detail = one_line(e.what());
  }
  return result;
}

std::string VerifySummary::str() const {
  return fmt::format("{} passed, {} failed, {} unsupported", passed, failed, unsupported);
}

namespace {

std::vector<fs::path> cases_in(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw UserError(folder.string() + ": there is no such folder");
  std::vector<fs::path> cases;
  if (fs::exists(folder / "model.onnx")) cases.push_back(folder);
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_directory() && fs::exists(entry.path() / "model.onnx")) cases.push_back(entry.path());
  if (cases.empty())
    throw UserError(folder.string() + ": no folder in it or below has a model.onnx: is it a backend-test folder?");
  std::sort(cases.begin(), cases.end());
  return cases;
}

}  // namespace

VerifySummary verify_folders(const std::vector<fs::path>& folders, const Evaluator& evaluator,
                             const VerifyOptions& options, const std::function<void(const CaseResult&)>& report) {
  VerifySummary summary;
  std::set<fs::path> seen;
  for (std::size_t suite = 0; suite < folders.size(); ++suite)
    for (const fs::path& folder : cases_in(folders[suite])) {
      if (!seen.insert(folder).second) continue;
      CaseResult result = verify_case(folder, evaluator, options);
      result.suite = suite;
      ++(result.status == CaseStatus::pass   ? summary.passed
         : result.status == CaseStatus::fail ? summary.failed
                                             : summary.unsupported);
      if (report) report(result);
      summary.cases.push_back(std::move(result));
    }
  return summary;
}

std::string to_text(const CaseResult& result) {
  static constexpr const char* kStatus[] = {"pass", "fail", "unsupported"};
  const std::string name = result.folder.filename().string();
  const std::string status = kStatus[static_cast<int>(result.status)];
  if (result.status == CaseStatus::pass)
    return fmt::format("{:<11} {} (max error {:.2g})", status, name, result.max_error);
  return fmt::format("{:<11} {}: {}", status, name, result.detail);
}

}  // namespace weft::onnx
