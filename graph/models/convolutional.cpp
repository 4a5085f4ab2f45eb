// LeNet, and ResNet as in He et al., CVPR 2016, with the stride of a bottleneck on its 3x3 convolution (torchvision's).
#include <string>

#include "graph/models/architectures.hpp"

namespace weft::models {

void build_lenet(Network& net, const Settings& settings) {
  const std::int64_t classes = settings.integer("classes", 1, 1'000'000);
  const std::int64_t channels = settings.integer("channels", 1, 4096);
  std::string x = net.input({channels, 28, 28});
  x = net.relu("relu1", net.conv("c1", x, {.in = channels, .out = 32, .kernel = 3, .pad = 1, .bias = true}));
  x = net.max_pool("pool1", x, 2, 2, 0);
  x = net.relu("relu2", net.conv("c2", x, {.in = 32, .out = 64, .kernel = 3, .pad = 1, .bias = true}));
  x = net.flatten("flatten", net.max_pool("pool2", x, 2, 2, 0));
  x = net.relu("relu3", net.linear("f1", x, 64 * 7 * 7, 128));
  net.output(net.linear("f2", x, 128, classes, "output"), {classes});
}

namespace {

std::string conv_bn(Network& net, const std::string& prefix, int index, const std::string& x, Network::Convolution c) {
  c.kaiming_normal = true;
  const std::string number = std::to_string(index);
  return net.batch_norm(prefix + ".bn" + number, net.conv(prefix + ".conv" + number, x, c), c.out);
}

/// One residual block; `channels` is what comes in and becomes what goes out.
std::string residual(Network& net, const std::string& name, std::string x, Block block, std::int64_t width,
                     std::int64_t stride, std::int64_t& channels) {
  const std::int64_t in = channels, out = block == Block::basic ? width : 4 * width;
  std::string y = x;
  if (block == Block::basic) {
    y = net.relu(name + ".relu1",
                 conv_bn(net, name, 1, y, {.in = in, .out = width, .kernel = 3, .stride = stride, .pad = 1}));
    y = conv_bn(net, name, 2, y, {.in = width, .out = out, .kernel = 3, .pad = 1});
  } else {
    y = net.relu(name + ".relu1", conv_bn(net, name, 1, y, {.in = in, .out = width, .kernel = 1}));
    y = net.relu(name + ".relu2",
                 conv_bn(net, name, 2, y, {.in = width, .out = width, .kernel = 3, .stride = stride, .pad = 1}));
    y = conv_bn(net, name, 3, y, {.in = width, .out = out, .kernel = 1});
  }
  if (stride != 1 || in != out) {
    x = net.conv(name + ".downsample.0", x,
                 {.in = in, .out = out, .kernel = 1, .stride = stride, .kaiming_normal = true});
    x = net.batch_norm(name + ".downsample.1", x, out);
  }
  channels = out;
  return net.relu(name + ".relu", net.add(name + ".add", y, x));
}

}  // namespace

void build_resnet(Network& net, const Settings& settings, Block block, const std::vector<int>& layers) {
  const std::int64_t width = settings.integer("width", 1, 4096), classes = settings.integer("classes", 1, 1'000'000);
  const std::int64_t image = settings.integer("image", 32, 65536), colours = settings.integer("channels", 1, 4096);
  std::string x = net.input({colours, image, image});
  x = net.conv("conv1", x, {.in = colours, .out = width, .kernel = 7, .stride = 2, .pad = 3, .kaiming_normal = true});
  x = net.max_pool("maxpool", net.relu("relu", net.batch_norm("bn1", x, width)), 3, 2, 1);
  std::int64_t channels = width;
  for (std::size_t stage = 0; stage < layers.size(); ++stage)
    for (int b = 0; b < layers[stage]; ++b) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(b);
      x = residual(net, name, x, block, width << stage, stage > 0 && b == 0 ? 2 : 1, channels);
    }
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  net.output(net.linear("fc", x, channels, classes, "output"), {classes});
}

}  // namespace weft::models
