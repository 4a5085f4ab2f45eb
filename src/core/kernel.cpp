// The content key of a kernel: what it computes on which types and layouts, whatever its values are called.
#include "weft/kernel.hpp"

#include <fmt/format.h>

#include "weft/hash.hpp"

namespace weft {
namespace {

constexpr std::size_t kLiteralBytes = 64;  ///< longer literals are keyed by a hash of their bits

std::string literal_key(const Tensor& tensor) {
  if (tensor.bytes() > kLiteralBytes) return "#" + hash_text(hash64({tensor.data(), tensor.bytes()}));
  std::string text = "=";
  for (std::size_t i = 0; i < tensor.bytes(); ++i) text += fmt::format("{:02x}", static_cast<int>(tensor.data()[i]));
  return text;
}

std::string value_key(const Graph& graph, ValueId id) {
  const Value& v = graph.value(id);
  // "free" is not "row-major" in a question to the oracle, so an absent layout is its own key.
  return fmt::format("{}{}", name_of(v.type.dtype), v.layout ? v.layout->str() : v.type.shape.str());
}

std::string body_key(const Graph& graph) {
  std::string text;
  for (const GraphInput& i : graph.inputs()) text += fmt::format("i{}:{};", i.value, value_key(graph, i.value));
  for (const Node& node : graph.nodes()) {
    for (const ValueId v : node.outputs) text += fmt::format("{}:{},", v, value_key(graph, v));
    text += fmt::format("={}({}){}", name_of(node.op), fmt::join(node.inputs, ","), node.attributes.str());
    if (node.literal) text += literal_key(*node.literal);
    for (const Graph& body : node.bodies) text += "{" + body_key(body) + "}";
    text += ";";
  }
  for (const GraphOutput& o : graph.outputs()) text += fmt::format("o{};", o.value);
  return text;
}

}  // namespace

std::string KernelSpec::key() const { return implementation + "|" + body_key(body); }

}  // namespace weft
