// Layers of transformers as ONNX nodes.
#include "graph/models/transformer.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "weft/error.hpp"

namespace weft::models {

std::string affine(Network& net, const std::string& name, const std::string& x, const std::string& weight,
                   const std::string& bias, Weight order, const std::string& result) {
  const std::string w =
      order == Weight::in_out ? weight : net.node("Transpose", {weight}, name + ".transpose", {{"perm", Dims{1, 0}}});
  if (bias.empty()) return net.node("MatMul", {x, w}, name + ".matmul", {}, result);
  return net.node("Add", {net.node("MatMul", {x, w}, name + ".matmul"), bias}, name + ".add", {}, result);
}

std::string layer_norm(Network& net, const std::string& name, const std::string& x, std::int64_t width,
                       double epsilon) {
  return net.node("LayerNormalization",
                  {x, net.filled(name + ".weight", {width}, 1), net.filled(name + ".bias", {width}, 0)}, name,
                  {{"axis", std::int64_t{-1}}, {"epsilon", epsilon}});
}

std::string gelu(Network& net, const std::string& name, const std::string& x, GeluForm form) {
  return net.node("Gelu", {x}, name, {{"approximate", std::string(form == GeluForm::tanh ? "tanh" : "none")}});
}

std::string positions(Network& net, const std::string& name, const std::string& table, std::int64_t sequence) {
  Dims places(static_cast<std::size_t>(sequence));
  std::iota(places.begin(), places.end(), 0);
  const std::string ids = net.constant(name + ".ids", Tensor::from<std::int64_t>(Shape{sequence}, places));
  return net.node("Gather", {table, ids}, name);
}

std::int64_t sequence_of(const Settings& settings, std::int64_t positions) {
  const std::int64_t sequence = settings.integer("sequence", 1, 65536);
  if (sequence > positions)
    throw UserError(
        fmt::format("setting 'sequence' is {}; it must be at most 'positions', which is {}", sequence, positions));
  return sequence;
}

Heads heads_of(const Settings& settings, std::int64_t width) {
  const std::int64_t heads = settings.integer("heads", 1, 65536);
  if (width % heads != 0)
    throw UserError(fmt::format("setting 'heads' is {}; it must divide the width, which is {}", heads, width));
  return {heads, width};
}

std::string attention(Network& net, const std::string& name, const std::vector<std::string>& qkv, const Heads& heads,
                      const std::string& mask) {
  const std::int64_t each = heads.width / heads.count;
  const auto by_head = [&](const std::string& part, const std::string& x, const Dims& order) {
    const std::string cut = net.node("Reshape", {x, net.integers({0, 0, heads.count, each})}, name + part + ".heads");
    return net.node("Transpose", {cut}, name + part + ".transpose", {{"perm", order}});
  };
  const std::string q = by_head(".q", qkv.at(0), {0, 2, 1, 3}), k = by_head(".k", qkv.at(1), {0, 2, 3, 1}),
                    v = by_head(".v", qkv.at(2), {0, 2, 1, 3});
  const std::string scale = net.scalar(1 / std::sqrt(static_cast<double>(each)));
  std::string scores = net.node("Mul", {net.node("MatMul", {q, k}, name + ".scores"), scale}, name + ".scale");
  if (!mask.empty()) scores = net.node("Add", {scores, mask}, name + ".mask");
  const std::string weights = net.node("Softmax", {scores}, name + ".softmax", {{"axis", std::int64_t{-1}}});
  const std::string mixed = net.node("Transpose", {net.node("MatMul", {weights, v}, name + ".values")},
                                     name + ".transpose", {{"perm", Dims{0, 2, 1, 3}}});
  return net.node("Reshape", {mixed, net.integers({0, 0, heads.width})}, name + ".joined");
}

std::string causal_mask(Network& net, std::int64_t sequence) {
  Tensor mask = net.reserved({1, 1, sequence, sequence});
  const auto values = mask.mutable_values<float>();
  for (std::int64_t row = 0; row < sequence; ++row)
    for (std::int64_t column = row + 1; column < sequence; ++column)
      values[static_cast<std::size_t>(row * sequence + column)] = -std::numeric_limits<float>::infinity();
  return net.constant("causal_mask", mask);
}

}  // namespace weft::models
