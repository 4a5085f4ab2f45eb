// Running backend-test cases.
#include "graph/onnx/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "graph/onnx/file_io.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/proto.hpp"
#include "graph/onnx/tensor_pb.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

namespace fs = std::filesystem;

struct DataSet {
  std::string name;
  std::vector<Tensor> inputs, outputs;
};

/// input_0.pb, input_1.pb, ...
std::vector<Tensor> read_numbered(const fs::path& folder, const std::string& prefix, std::int64_t limit) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path path = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(path)) return tensors;
    if (static_cast<std::int64_t>(fs::file_size(path)) > limit)
      throw UserError(fmt::format("{} is larger than {} bytes", path.filename().string(), limit));
    tensors.push_back(read_tensor_pb(path).second);
  }
}

std::vector<fs::path> data_set_folders(const fs::path& folder) {
  std::vector<fs::path> sets;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && entry.path().filename().string().starts_with("test_data_set_"))
      sets.push_back(entry.path());
  std::sort(sets.begin(), sets.end());
  return sets;
}

/// The model with this data set's shapes, and with the values of inputs that decide shapes bound to the set's.
Model import_for(const ModelFile& file, const std::map<std::string, Tensor>& inputs) {
  ImportOptions options;
  for (const auto& [name, value] : inputs) options.shapes[name] = value.shape();
  // Each round can only uncover needs that the last one hid.
  for (std::size_t round = 0; round <= inputs.size(); ++round) {
    const std::vector<std::string> needed = required_constants(file, options);
    if (needed.empty()) break;
    for (const std::string& name : needed)
      if (const auto it = inputs.find(name); it != inputs.end()) options.constants[name] = it->second;
  }
  return import_model(file, options);
}

/// Cases of the published suite whose expected values contradict their own model, with what is wrong.
struct KnownFault {
  std::string_view name, reason;
};
constexpr KnownFault kKnownFaults[] = {
    {"test_adam_multiple", "the suite's expected values were made with epsilon 0.01, which its model does not say"},
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

/// Throws UserError when the model takes or returns something else than tensors.
void check_tensors_only(const ModelFile& file) {
  const pb::GraphProto& graph = file.contents().proto.graph();
  for (const auto* ports : {&graph.input(), &graph.output()})
    for (const auto& port : *ports)
      if (!port.type().has_tensor_type())
        throw UserError(fmt::format("'{}' is a sequence or optional of tensors, which is not supported", port.name()));
}

/// The suite of ONNX 1.12 stores bfloat16 as the integers of its bits, for NumPy had no such type.
Tensor with_bits_as(DType type, const Tensor& tensor) {
  if (type != DType::bf16 || tensor.dtype() != DType::u16) return tensor;
  Tensor result(DType::bf16, tensor.shape());
  std::copy_n(tensor.data(), tensor.bytes(), result.mutable_data());
  return result;
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

DType declared_type(const ModelFile& file, const std::string& input) {
  for (const auto& port : file.contents().proto.graph().input())
    if (port.name() == input) return dtype_of_onnx(port.type().tensor_type().elem_type(), "input '" + input + "'");
  throw UserError("the model has no input '" + input + "'");
}

void run_data_set(const ModelFile& file, const DataSet& set, const Evaluator& evaluator, const VerifyOptions& options,
                  CaseResult& result) {
  const std::vector<std::string> names = input_names(file), outputs = output_names(file);
  if (set.inputs.size() > names.size())
    throw UserError(fmt::format("{} inputs in {}; the model has {}", set.inputs.size(), set.name, names.size()));
  std::map<std::string, Tensor> values;
  for (std::size_t i = 0; i < set.inputs.size(); ++i)
    values[names[i]] = with_bits_as(declared_type(file, names[i]), set.inputs[i]);
  const Model model = import_for(file, values);
  std::map<std::string, Tensor> arguments;
  for (const GraphInput& input : model.forward.inputs())
    if (input.role == InputRole::feed) {
      const auto it = values.find(input.name);
      if (it == values.end()) throw UserError(fmt::format("{} has no input '{}'", set.name, input.name));
      if (it->second.dtype() != model.forward.type(input.value).dtype)
        throw UserError(fmt::format("{}: input '{}' has another type than the model's", set.name, input.name));
      arguments[input.name] = it->second;
    }
  for (const ModelState& state : model.states) arguments[state.name] = state.initial;
  const std::map<std::string, Tensor> got = evaluator(model.forward, arguments);
  for (std::size_t i = 0; i < set.outputs.size() && i < outputs.size(); ++i) {
    const Tensor& result_tensor = got.at(outputs[i]);
    const Tensor want = with_bits_as(result_tensor.dtype(), set.outputs[i]);
    const std::string text = difference(result_tensor, want, options, &result.max_error);
    if (text.empty()) continue;
    if (const std::string reason = reason_not_comparable(result.folder, file, model.forward); !reason.empty())
      throw UserError(reason);
    result.status = CaseStatus::fail;
    result.detail = fmt::format("{}: output '{}' {}", set.name, outputs[i], text);
    return;
  }
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
    check_tensors_only(file);
    for (const fs::path& set : sets) {
      if (result.status != CaseStatus::pass) break;
      run_data_set(file,
                   {set.filename().string(), read_numbered(set, "input", options.file_bytes),
                    read_numbered(set, "output", options.file_bytes)},
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

VerifySummary verify_folders(const std::vector<fs::path>& folders, const Evaluator& evaluator,
                             const VerifyOptions& options, const std::function<void(const CaseResult&)>& report) {
  std::vector<fs::path> cases;
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder)) throw UserError(folder.string() + ": there is no such folder");
    const std::size_t before = cases.size();
    if (fs::exists(folder / "model.onnx")) cases.push_back(folder);
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_directory() && fs::exists(entry.path() / "model.onnx")) cases.push_back(entry.path());
    if (cases.size() == before)
      throw UserError(folder.string() + ": no folder in it or below has a model.onnx: is it a backend-test folder?");
  }
  std::sort(cases.begin(), cases.end());
  cases.erase(std::unique(cases.begin(), cases.end()), cases.end());
  VerifySummary summary;
  for (const fs::path& folder : cases) {
    CaseResult result = verify_case(folder, evaluator, options);
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
