// U-Net as in Ronneberger et al., MICCAI 2015, with batch norm and padded convolutions, so that its output has its
// input's extents.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "graph/models/architectures.hpp"
#include "weft/error.hpp"

namespace weft::models {
namespace {

/// Two convolutions, each with batch norm and ReLU.
std::string double_conv(Network& net, const std::string& name, std::string x, std::int64_t in, std::int64_t out) {
  for (int part = 0; part < 6; part += 3, in = out) {
    const auto layer = [&](int offset) { return fmt::format("{}.{}", name, part + offset); };
    x = net.batch_norm(layer(1), net.conv(layer(0), x, {.in = in, .out = out, .kernel = 3, .pad = 1}), out);
    x = net.relu(layer(2), x);
  }
  return x;
}

}  // namespace

void build_unet(Network& net, const Settings& settings) {
  const Dims widths = settings.integers("widths", 1, 65536);
  const std::int64_t classes = settings.integer("classes", 1, 1'000'000);
  const std::int64_t image = settings.integer("image", 1, 65536), colours = settings.integer("channels", 1, 4096);
  const std::size_t ups = widths.size() - 1;
  if (ups > 16 || image % (std::int64_t{1} << ups) != 0)
    throw UserError(
        fmt::format("setting 'image' is {}; it must be a multiple of {} for {} widths, each of which but "
                    "the last halves it (17 widths at most)",
                    image, ups > 16 ? "2^" + std::to_string(ups) : std::to_string(1 << ups), ups + 1));
  std::string x = net.input({colours, image, image});
  std::vector<std::string> skips;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    x = double_conv(net, fmt::format("down.{}", i), x, i == 0 ? colours : widths[i - 1], widths[i]);
    if (i == ups) break;
    skips.push_back(x);
    x = net.max_pool(fmt::format("pool.{}", i), x, 2, 2, 0);
  }
  for (std::size_t i = ups; i-- > 0;) {
    x = net.conv_transpose(fmt::format("up.{}", i), x, widths[i + 1], widths[i], 2);
    x = net.node("Concat", {skips[i], x}, fmt::format("cat.{}", i), {{"axis", std::int64_t{1}}});
    x = double_conv(net, fmt::format("mix.{}", i), x, 2 * widths[i], widths[i]);
  }
  x = net.conv("head", x, {.in = widths[0], .out = classes, .kernel = 1, .bias = true}, "output");
  net.output(x, {classes, image, image});
}

}  // namespace weft::models
