// A multi-layer perceptron.
#include <string>

#include "graph/models/architectures.hpp"
#include "weft/shape.hpp"

namespace weft::models {

void build_mlp(Network& net, const Settings& settings) {
  const Dims sample = settings.integers("inputs", 1, 1 << 20), hidden = settings.integers("hidden", 1, 1 << 20);
  const std::int64_t classes = settings.integer("classes", 1, 1'000'000);
  std::int64_t width = Shape(sample).elements();
  std::string x = net.flatten("flatten", net.input(sample));
  int layer = 1;
  for (const std::int64_t next : hidden) {
    const std::string number = std::to_string(layer++);
    x = net.relu("relu" + number, net.linear("fc" + number, x, width, next));
    width = next;
  }
  net.output(net.linear("fc" + std::to_string(layer), x, width, classes, "output"), {classes});
}

}  // namespace weft::models
