// A recurrent language model: embedding, stacked LSTM layers, a linear layer over the vocabulary.
//
// The weights of a layer are one ONNX operand each, in ONNX's order of gates (input, output, forget, cell; PyTorch has
// input, forget, cell, output): l.weight_ih_lK and l.weight_hh_lK are [1, 4 width, ...], l.bias_lK holds bias_ih_lK and
// bias_hh_lK side by side.
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "graph/models/architectures.hpp"
#include "graph/models/transformer.hpp"

namespace weft::models {

void build_lstm(Network& net, const Settings& settings) {
  const std::int64_t vocabulary = settings.integer("vocabulary", 1, 1 << 24),
                     width = settings.integer("width", 1, 65536);
  const std::int64_t layers = settings.integer("layers", 1, 1000), sequence = settings.integer("sequence", 1, 4096);
  const double bound = 1 / std::sqrt(static_cast<double>(width));
  const std::string tokens = net.input({sequence}, DType::i64);
  std::string x = net.node("Gather", {net.normal("e.weight", {vocabulary, width}, 1), tokens}, "e");
  x = net.node("Transpose", {x}, "time_first", {{"perm", Dims{1, 0, 2}}});
  for (std::int64_t i = 0; i < layers; ++i) {
    const auto weight = [&](const char* name, const Shape& shape) {
      return net.uniform(fmt::format("l.{}_l{}", name, i), shape, bound);
    };
    const std::string y = net.node("LSTM",
                                   {x, weight("weight_ih", {1, 4 * width, width}),
                                    weight("weight_hh", {1, 4 * width, width}), weight("bias", {1, 8 * width})},
                                   fmt::format("l.{}", i), {{"hidden_size", width}});
    x = net.node("Squeeze", {y, net.integers({1})}, fmt::format("l.{}.forward", i));  // its only direction
  }
  x = net.node("Transpose", {x}, "batch_first", {{"perm", Dims{1, 0, 2}}});
  const std::string weight = net.uniform("o.weight", {vocabulary, width}, bound);
  const std::string bias = net.uniform("o.bias", {vocabulary}, bound);
  net.output(affine(net, "o", x, weight, bias, Weight::out_in, "output"), {sequence, vocabulary});
}

}  // namespace weft::models
