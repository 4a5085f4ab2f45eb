// MobileNetV2 as in Sandler et al., CVPR 2018, named as in torchvision.
#include <algorithm>
#include <string>

#include "graph/models/architectures.hpp"

namespace weft::models {
namespace {

/// Channels are multiples of 8, at least 8, and never more than a tenth below what was asked for.
std::int64_t scaled_channels(double channels, double width) {
  const double asked = channels * width;
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(asked + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * asked ? rounded + 8 : rounded;
}

/// Convolution, batch norm, ReLU6.
std::string convolved(Network& net, const std::string& name, const std::string& x, Network::Convolution c) {
  c.kaiming_normal = true;
  return net.relu6(name + ".2", net.batch_norm(name + ".1", net.conv(name + ".0", x, c), c.out));
}

/// Wider by `expand`, a depthwise convolution, and narrow again without an activation.
std::string inverted_residual(Network& net, const std::string& name, const std::string& x, std::int64_t in,
                              std::int64_t out, std::int64_t stride, std::int64_t expand) {
  const std::int64_t wide = in * expand;
  int part = 0;
  const auto next = [&] { return name + ".conv." + std::to_string(part++); };
  std::string y = expand == 1 ? x : convolved(net, next(), x, {.in = in, .out = wide, .kernel = 1});
  y = convolved(net, next(), y, {.in = wide, .out = wide, .kernel = 3, .stride = stride, .pad = 1, .groups = wide});
  y = net.conv(next(), y, {.in = wide, .out = out, .kernel = 1, .kaiming_normal = true});
  y = net.batch_norm(next(), y, out);
  return stride == 1 && in == out ? net.add(name + ".add", x, y) : y;
}

struct Stage {
  std::int64_t expand, channels, blocks, stride;
};
constexpr Stage kStages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

}  // namespace

void build_mobilenet_v2(Network& net, const Settings& settings) {
  const double width = settings.number("width", 0.01, 10), ratio = settings.number("dropout", 0, 0.999);
  const std::int64_t classes = settings.integer("classes", 1, 1'000'000);
  const std::int64_t image = settings.integer("image", 32, 65536), colours = settings.integer("channels", 1, 4096);
  std::int64_t channels = scaled_channels(32, width);
  std::string x = net.input({colours, image, image});
  x = convolved(net, "features.0", x, {.in = colours, .out = channels, .kernel = 3, .stride = 2, .pad = 1});
  int index = 1;
  for (const Stage& stage : kStages) {
    const std::int64_t out = scaled_channels(static_cast<double>(stage.channels), width);
    for (std::int64_t b = 0; b < stage.blocks; ++b, channels = out)
      x = inverted_residual(net, "features." + std::to_string(index++), x, channels, out, b == 0 ? stage.stride : 1,
                            stage.expand);
  }
  const std::int64_t last = scaled_channels(1280, std::max(1.0, width));
  x = convolved(net, "features." + std::to_string(index), x, {.in = channels, .out = last, .kernel = 1});
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  x = net.dropout("classifier.0", x, ratio);
  const std::string weight = net.normal("classifier.1.weight", {classes, last}, 0.01);
  const std::string bias = net.filled("classifier.1.bias", {classes}, 0);
  net.output(net.node("Gemm", {x, weight, bias}, "classifier.1", {{"transB", std::int64_t{1}}}, "output"), {classes});
}

}  // namespace weft::models
