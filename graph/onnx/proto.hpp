// ONNX's protobuf messages, for the sources of this folder only: nothing outside may include this header.
#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/onnx/file_io.hpp"
#include "graph/onnx/model_file.hpp"
#include "graph/onnx/skeleton.hpp"
#include "weft/initial_value.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

namespace pb = ::onnx;

/// A parameter that the file holds a second time: under which name first, and whether the second is transposed.
struct Tie {
  std::string original;
  bool transposed = false;
};
using Ties = std::map<std::string, Tie>;  ///< by the second name
Ties find_ties(const ModelFile& file);

/// Where the bytes of tensors lie that are not in their messages.
struct DataPlaces {
  std::filesystem::path folder{};                                    ///< of external data; empty: nowhere
  std::shared_ptr<const OpenFile> file{};                            ///< the model's own, where it is in use
  std::unordered_map<const pb::TensorProto*, FileRange> left_out{};  ///< raw data that are in it

  /// Where a message's raw data are in the file; nullptr where they are not there.
  const FileRange* find(const pb::TensorProto& tensor) const {
    const auto found = left_out.find(&tensor);
    return found == left_out.end() ? nullptr : &found->second;
  }
};

/// What a ModelFile holds.
struct ModelContents {
  std::string path;         ///< for messages
  DataPlaces places;        ///< of the initializers of the main graph
  pb::ModelProto proto;     ///< as read
  pb::GraphProto expanded;  ///< the main graph's nodes with calls of model-local functions replaced by their bodies
  bool has_functions = false;
  std::optional<Ties> ties;  ///< noted when values were forgotten, by which ties are found

  /// The main graph's nodes, functions expanded, in an order in which each follows what it reads.
  std::vector<const pb::NodeProto*> nodes;
  /// The opset version of a domain ("" is the standard one); 0 when the model does not import it.
  std::int64_t opset(const std::string& domain) const;
};

/// "" and "ai.onnx" are one domain.
inline std::string domain_of(const pb::NodeProto& node) { return node.domain() == "ai.onnx" ? "" : node.domain(); }

/// "Conv node '/layer1/conv1' (output 'x')": a node in messages.
std::string describe_node(const pb::NodeProto& node);

/// Adds the names that a node, or the nodes of a graph and the graph itself as its outputs, read; subgraphs' too.
void add_names_read(const pb::NodeProto& node, std::unordered_set<std::string>& names);
void add_names_read(const pb::GraphProto& graph, std::unordered_set<std::string>& names);

/// Batch normalisation and dropout in the form of inference, except where somebody reads what only training gives: new
/// statistics, the mask.
void leave_training_mode(pb::ModelProto& model);

/// Checks structure: names, references, cycles, nesting, counts; fills `nodes`. Throws UserError.
void check_model(ModelContents& contents, const ModelLimits& limits);

/// Replaces calls of model-local functions by their bodies, into `contents.expanded`. Throws UserError.
void expand_functions(ModelContents& contents, const ModelLimits& limits);

/// Nodes of a graph in an order in which each follows what it reads. `exists` answers whether a name that none of them
/// makes is an input, an initializer or a value of an enclosing graph. Throws UserError naming the nodes of a cycle, or
/// the node and the input that nothing makes.
std::vector<const pb::NodeProto*> sorted_nodes(const google::protobuf::RepeatedPtrField<pb::NodeProto>& nodes,
                                               const std::function<bool(const std::string&)>& exists);

/// The names that a node's subgraphs read from outside of themselves.
std::vector<std::string> captured_names(const pb::NodeProto& node);

/// A tensor message as a Tensor: every storage form, bounds checked. `where` names it in messages. Throws UserError.
Tensor tensor_of(const pb::TensorProto& proto, const DataPlaces& places, const std::string& where);

/// The same, read when it is asked for where the bytes are in a file. It may outlive the message.
InitialValue value_of(const pb::TensorProto& proto, const DataPlaces& places, const std::string& where);

/// The type and shape of a tensor message, its data checked to be there but not read. Throws UserError.
std::pair<DType, Shape> tensor_header(const pb::TensorProto& proto, const DataPlaces& places, const std::string& where);

/// `tensor` as a message with raw data.
pb::TensorProto proto_of(const Tensor& tensor, const std::string& name);

/// ONNX's element types to ours; throws UserError with the reason for those that Weft does not have.
DType dtype_of_onnx(std::int32_t data_type, const std::string& where);
std::int32_t onnx_of_dtype(DType type);
/// "FLOAT", "STRING", "FLOAT8E4M3FN", or the number.
std::string onnx_type_name(std::int32_t data_type);

}  // namespace weft::onnx
