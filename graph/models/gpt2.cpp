// GPT-2 as in Radford et al., 2019: a decoder with its layer norms in front, weights and names as in the published
// checkpoints. The embedding is the output layer too.
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "graph/models/architectures.hpp"
#include "graph/models/transformer.hpp"
#include "weft/error.hpp"

namespace weft::models {
namespace {

constexpr double kGptEpsilon = 1e-5, kGptDeviation = 0.02;

struct GptDecoder {
  Network& net;
  std::int64_t width, layers;
  Heads heads;
  std::string mask;
  double dropout;

  /// Weights are [in, out]. What ends a branch starts smaller: 2 branches a layer add up.
  std::string dense(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out, bool last) const {
    const double deviation = last ? kGptDeviation / std::sqrt(2.0 * static_cast<double>(layers)) : kGptDeviation;
    return affine(net, name, x, net.normal(name + ".weight", {in, out}, deviation),
                  net.filled(name + ".bias", {out}, 0), Weight::in_out);
  }

  std::string block(const std::string& name, std::string x) const {
    std::string y = layer_norm(net, name + ".ln_1", x, width, kGptEpsilon);
    const auto qkv = net.split(name + ".attn.split", dense(name + ".attn.c_attn", y, width, 3 * width, false), 3);
    y = dense(name + ".attn.c_proj", attention(net, name + ".attn", qkv, heads, mask), width, width, true);
    x = net.add(name + ".attn.add", net.dropout(name + ".attn.resid_dropout", y, dropout), x);
    y = dense(name + ".mlp.c_fc", layer_norm(net, name + ".ln_2", x, width, kGptEpsilon), width, 4 * width, false);
    y = dense(name + ".mlp.c_proj", gelu(net, name + ".mlp.act", y, GeluForm::tanh), 4 * width, width, true);
    return net.add(name + ".mlp.add", x, net.dropout(name + ".mlp.dropout", y, dropout));
  }
};

}  // namespace

void build_gpt2(Network& net, const Settings& settings) {
  const std::int64_t vocabulary = settings.integer("vocabulary", 1, 1 << 24),
                     width = settings.integer("width", 1, 65536);
  const std::int64_t layers = settings.integer("layers", 1, 1000), places = settings.integer("positions", 1, 65536);
  const std::int64_t sequence = sequence_of(settings, places);
  const double dropout = settings.number("dropout", 0, 0.999);
  const Heads heads = heads_of(settings, width);
  const std::string tokens = net.input({sequence}, DType::i64);
  const std::string table = net.normal("transformer.wte.weight", {vocabulary, width}, kGptDeviation);
  const std::string place =
      positions(net, "transformer.wpe", net.normal("transformer.wpe.weight", {places, width}, kGptDeviation), sequence);
  std::string x = net.add("transformer.add", net.node("Gather", {table, tokens}, "transformer.wte"), place);
  x = net.dropout("transformer.drop", x, dropout);
  const GptDecoder decoder{net, width, layers, heads, causal_mask(net, sequence), dropout};
  for (std::int64_t i = 0; i < layers; ++i) x = decoder.block(fmt::format("transformer.h.{}", i), x);
  x = layer_norm(net, "transformer.ln_f", x, width, kGptEpsilon);
  net.output(affine(net, "lm_head", x, table, {}, Weight::out_in, "output"), {sequence, vocabulary});
}

}  // namespace weft::models
