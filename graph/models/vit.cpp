// The vision transformer as in Dosovitskiy et al., ICLR 2021, named as in torchvision: patches as tokens, a class token
// before them, an encoder with its layer norms in front.
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "graph/models/architectures.hpp"
#include "graph/models/transformer.hpp"
#include "weft/error.hpp"

namespace weft::models {
namespace {

constexpr double kVitEpsilon = 1e-6;

struct VitEncoder {
  Network& net;
  std::int64_t width, mlp;
  Heads heads;
  double dropout;

  /// Xavier's uniform bound, biases almost zero.
  std::string dense(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out) const {
    const std::string weight = net.uniform(name + ".weight", {out, in}, std::sqrt(6 / static_cast<double>(in + out)));
    return affine(net, name, x, weight, net.normal(name + ".bias", {out}, 1e-6), Weight::out_in);
  }

  std::string self_attention(const std::string& name, const std::string& x) const {
    const double bound = std::sqrt(6 / static_cast<double>(4 * width));  // Xavier's, of the three matrices as one
    const std::string all =
        affine(net, name + ".in_proj", x, net.uniform(name + ".in_proj_weight", {3 * width, width}, bound),
               net.filled(name + ".in_proj_bias", {3 * width}, 0), Weight::out_in);
    const std::string y = attention(net, name, net.split(name + ".split", all, 3), heads);
    const std::string weight =
        net.uniform(name + ".out_proj.weight", {width, width}, 1 / std::sqrt(static_cast<double>(width)));
    return affine(net, name + ".out_proj", y, weight, net.filled(name + ".out_proj.bias", {width}, 0), Weight::out_in);
  }

  std::string layer(const std::string& name, std::string x) const {
    std::string y = self_attention(name + ".self_attention", layer_norm(net, name + ".ln_1", x, width, kVitEpsilon));
    x = net.add(name + ".add_1", net.dropout(name + ".dropout", y, dropout), x);
    y = dense(name + ".mlp.0", layer_norm(net, name + ".ln_2", x, width, kVitEpsilon), width, mlp);
    y = net.dropout(name + ".mlp.2", gelu(net, name + ".mlp.1", y, GeluForm::exact), dropout);
    y = net.dropout(name + ".mlp.4", dense(name + ".mlp.3", y, mlp, width), dropout);
    return net.add(name + ".add_2", x, y);
  }
};

/// [N, colours, image, image] to [N, patches, width].
std::string patches(Network& net, const std::string& x, std::int64_t colours, std::int64_t patch, std::int64_t width) {
  const double deviation = std::sqrt(1 / static_cast<double>(colours * patch * patch));
  const std::string y = net.node("Conv",
                                 {x, net.normal("conv_proj.weight", {width, colours, patch, patch}, deviation),
                                  net.filled("conv_proj.bias", {width}, 0)},
                                 "conv_proj", {{"kernel_shape", Dims{patch, patch}}, {"strides", Dims{patch, patch}}});
  return net.node("Transpose", {net.node("Reshape", {y, net.integers({0, width, -1})}, "patches")}, "tokens",
                  {{"perm", Dims{0, 2, 1}}});
}

/// The class token, once a sample, before the others.
std::string with_class_token(Network& net, const std::string& x, std::int64_t width) {
  const std::string samples = net.node("Shape", {x}, "samples", {{"start", std::int64_t{0}}, {"end", std::int64_t{1}}});
  const std::string shape =
      net.node("Concat", {samples, net.integers({1, width})}, "class_token.shape", {{"axis", std::int64_t{0}}});
  const std::string token =
      net.node("Expand", {net.filled("class_token", {1, 1, width}, 0), shape}, "class_token.expand");
  return net.node("Concat", {token, x}, "class_token.concat", {{"axis", std::int64_t{1}}});
}

}  // namespace

void build_vit(Network& net, const Settings& settings) {
  const std::int64_t width = settings.integer("width", 1, 65536), layers = settings.integer("layers", 1, 1000);
  const std::int64_t image = settings.integer("image", 1, 65536), patch = settings.integer("patch", 1, 65536);
  const std::int64_t colours = settings.integer("channels", 1, 4096),
                     classes = settings.integer("classes", 1, 1'000'000);
  if (image % patch != 0)
    throw UserError(fmt::format("setting 'image' is {}; it must be a multiple of 'patch', which is {}", image, patch));
  const VitEncoder encoder{net, width, settings.integer("mlp", 1, 1 << 20), heads_of(settings, width),
                           settings.number("dropout", 0, 0.999)};
  const std::int64_t tokens = (image / patch) * (image / patch) + 1;
  std::string x = with_class_token(net, patches(net, net.input({colours, image, image}), colours, patch, width), width);
  x = net.add("encoder.add", x, net.normal("encoder.pos_embedding", {1, tokens, width}, 0.02));
  x = net.dropout("encoder.dropout", x, encoder.dropout);
  for (std::int64_t i = 0; i < layers; ++i) x = encoder.layer(fmt::format("encoder.layers.encoder_layer_{}", i), x);
  x = layer_norm(net, "encoder.ln", x, width, kVitEpsilon);
  const std::string first = net.constant("class_token.index", Tensor::scalar<std::int64_t>(0));
  x = net.node("Gather", {x, first}, "class_token.result", {{"axis", std::int64_t{1}}});
  const std::string weight = net.filled("heads.head.weight", {classes, width}, 0);
  const std::string bias = net.filled("heads.head.bias", {classes}, 0);
  net.output(net.node("Gemm", {x, weight, bias}, "heads.head", {{"transB", std::int64_t{1}}}, "output"), {classes});
}

}  // namespace weft::models
