// BERT as in Devlin et al., NAACL 2019, with the head of masked language modelling: an encoder whose layer norms follow
// the additions, names as in the published checkpoints. The embedding is the output layer too.
//
// The only input is the tokens: all are of segment 0 and none is padding, so that no mask is needed. Token 0, the
// padding of the original, starts as zeros; here it is trained like any other.
#include <fmt/format.h>

#include <string>

#include "graph/models/architectures.hpp"
#include "graph/models/transformer.hpp"

namespace weft::models {
namespace {

constexpr double kBertEpsilon = 1e-12, kBertDeviation = 0.02;

struct BertEncoder {
  Network& net;
  std::int64_t width, intermediate;
  Heads heads;
  double dropout;

  std::string dense(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out) const {
    return affine(net, name, x, net.normal(name + ".weight", {out, in}, kBertDeviation),
                  net.filled(name + ".bias", {out}, 0), Weight::out_in);
  }
  /// Of what a branch gives and what went into it.
  std::string joined(const std::string& name, const std::string& y, const std::string& x) const {
    const std::string sum = net.add(name + ".add", net.dropout(name + ".dropout", y, dropout), x);
    return layer_norm(net, name + ".LayerNorm", sum, width, kBertEpsilon);
  }

  std::string layer(const std::string& name, std::string x) const {
    std::vector<std::string> qkv;
    for (const char* part : {"query", "key", "value"})
      qkv.push_back(dense(fmt::format("{}.attention.self.{}", name, part), x, width, width));
    std::string y = attention(net, name + ".attention.self", qkv, heads);
    y = dense(name + ".attention.output.dense", y, width, width);
    x = joined(name + ".attention.output", y, x);
    y = dense(name + ".intermediate.dense", x, width, intermediate);
    y = dense(name + ".output.dense", gelu(net, name + ".intermediate.act", y, GeluForm::exact), intermediate, width);
    return joined(name + ".output", y, x);
  }
};

}  // namespace

void build_bert(Network& net, const Settings& settings) {
  const std::int64_t vocabulary = settings.integer("vocabulary", 1, 1 << 24),
                     width = settings.integer("width", 1, 65536);
  const std::int64_t layers = settings.integer("layers", 1, 1000), places = settings.integer("positions", 1, 65536);
  const std::int64_t sequence = sequence_of(settings, places);
  const BertEncoder encoder{net, width, settings.integer("intermediate", 1, 1 << 20), heads_of(settings, width),
                            settings.number("dropout", 0, 0.999)};
  const std::string tokens = net.input({sequence}, DType::i64);
  const std::string prefix = "bert.embeddings.";
  const auto table = [&](const char* name, std::int64_t rows, std::int64_t zero_rows = 0) {
    return net.normal(prefix + name + ".weight", {rows, width}, kBertDeviation, zero_rows);
  };
  const std::string words = table("word_embeddings", vocabulary, 1);
  const std::string place =
      positions(net, prefix + "position_embeddings", table("position_embeddings", places), sequence);
  const std::string segment = net.constant(prefix + "segment", Tensor::scalar<std::int64_t>(0));
  const std::string type =
      net.node("Gather", {table("token_type_embeddings", 2), segment}, prefix + "token_type_embeddings");
  std::string x = net.add(prefix + "add", net.node("Gather", {words, tokens}, prefix + "word_embeddings"), type);
  x = layer_norm(net, prefix + "LayerNorm", net.add(prefix + "add_positions", x, place), width, kBertEpsilon);
  x = net.dropout(prefix + "dropout", x, encoder.dropout);
  for (std::int64_t i = 0; i < layers; ++i) x = encoder.layer(fmt::format("bert.encoder.layer.{}", i), x);
  x = encoder.dense("cls.predictions.transform.dense", x, width, width);
  x = gelu(net, "cls.predictions.transform.act", x, GeluForm::exact);
  x = layer_norm(net, "cls.predictions.transform.LayerNorm", x, width, kBertEpsilon);
  const std::string bias = net.filled("cls.predictions.bias", {vocabulary}, 0);
  net.output(affine(net, "cls.predictions.decoder", x, words, bias, Weight::out_in, "output"), {sequence, vocabulary});
}

}  // namespace weft::models
