// Layers as ONNX nodes, and their initial values.
#include "graph/models/network.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "weft/error.hpp"

namespace weft::models {
namespace {

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), seeded by the model's seed and the parameter's name, so that a
/// parameter's values do not depend on what was drawn before it.
class Random {
 public:
  Random(std::uint64_t seed, const std::string& name) : state_(seed * 0x9e3779b97f4a7c15ULL) {
    for (const char ch : name) state_ = (state_ ^ static_cast<unsigned char>(ch)) * 0x100000001b3ULL;
  }
  /// In (0, 1).
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
  /// Box and Muller's transform.
  double normal() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

template <class Draw>
Tensor drawn(Tensor tensor, const Draw& draw) {
  for (float& value : tensor.mutable_values<float>()) value = static_cast<float>(draw());
  return tensor;
}

}  // namespace

std::int64_t Settings::integer(const std::string& name, std::int64_t low, std::int64_t high) const {
  const Dims all = integers(name, low, high);
  if (all.size() != 1)
    throw UserError(fmt::format("setting '{}' is '{}'; it must be one integer", name, values().at(name)));
  return all.front();
}

Dims Settings::integers(const std::string& name, std::int64_t low, std::int64_t high) const {
  const std::string& text = values().at(name);
  const char* at = text.data();
  const char* const end = at + text.size();
  Dims numbers;
  while (true) {
    std::int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || value < low || value > high || (next != end && *next != ','))
      throw UserError(fmt::format("setting '{}' is '{}'; allowed are integers from {} to {}, separated by commas", name,
                                  text, low, high));
    numbers.push_back(value);
    if (next == end) return numbers;
    at = next + 1;
  }
}

double Settings::number(const std::string& name, double low, double high) const {
  const std::string& text = values().at(name);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= low && value <= high))
    throw UserError(fmt::format("setting '{}' is '{}'; allowed are numbers from {:g} to {:g}", name, text, low, high));
  return value;
}

Tensor Network::reserved(const Shape& shape) {
  constexpr std::int64_t kMostElements = (std::int64_t{1} << 31) / 4;
  if (shape.elements() > kMostElements - elements_)
    throw UserError(
        "a model of these settings is larger than the 2 GiB that one ONNX file can hold; choose smaller sizes");
  elements_ += shape.elements();
  return Tensor(DType::f32, shape);
}

std::string Network::uniform(const std::string& name, const Shape& shape, double bound) {
  Random random(seed_, name);
  return writer_.initializer(name, drawn(reserved(shape), [&] { return (2 * random.uniform() - 1) * bound; }));
}

std::string Network::normal(const std::string& name, const Shape& shape, double deviation, std::int64_t zero_rows) {
  Random random(seed_, name);
  Tensor values = drawn(reserved(shape), [&] { return random.normal() * deviation; });
  std::fill_n(values.mutable_values<float>().begin(), zero_rows * (shape.elements() / shape[0]), 0.0F);
  return writer_.initializer(name, values);
}

std::string Network::filled(const std::string& name, const Shape& shape, double value) {
  return writer_.initializer(name, drawn(reserved(shape), [&] { return value; }));
}

std::string Network::integers(const Dims& values) {
  const std::string name = fmt::format("int64[{}]", fmt::join(values, ","));
  if (operands_.insert(name).second)
    writer_.initializer(name, Tensor::from<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())}, values));
  return name;
}

std::string Network::scalar(double value) {
  const std::string name = fmt::format("float {:.9g}", value);
  if (operands_.insert(name).second) writer_.initializer(name, Tensor::full(DType::f32, Shape{}, value));
  return name;
}

std::vector<std::string> Network::split(const std::string& name, const std::string& x, int count) {
  return writer_.node_of(count, "Split", {x}, name, {{"axis", std::int64_t{-1}}, {"num_outputs", std::int64_t{count}}});
}

std::string Network::input(const Dims& sample, DType type) {
  std::vector<onnx::ModelWriter::Dim> shape = {"N"};
  shape.insert(shape.end(), sample.begin(), sample.end());
  return writer_.input("input", type, shape);
}

void Network::output(const std::string& value, const Dims& sample) {
  std::vector<onnx::ModelWriter::Dim> shape = {"N"};
  shape.insert(shape.end(), sample.begin(), sample.end());
  writer_.output(value, DType::f32, shape);
}

std::string Network::conv(const std::string& name, const std::string& x, const Convolution& c,
                          const std::string& result) {
  const Shape shape{c.out, c.in / c.groups, c.kernel, c.kernel};
  const auto area = static_cast<double>(c.kernel * c.kernel);
  // PyTorch: Kaiming uniform with a = sqrt(5), which is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for weight and bias alike.
  const double bound = 1 / std::sqrt(static_cast<double>(shape[1]) * area);
  std::vector<std::string> inputs = {
      x, c.kaiming_normal ? normal(name + ".weight", shape, std::sqrt(2 / (static_cast<double>(c.out) * area)))
                          : uniform(name + ".weight", shape, bound)};
  if (c.bias) inputs.push_back(uniform(name + ".bias", Shape{c.out}, bound));
  return writer_.node("Conv", inputs, name,
                      {{"kernel_shape", Dims{c.kernel, c.kernel}},
                       {"strides", Dims{c.stride, c.stride}},
                       {"pads", Dims{c.pad, c.pad, c.pad, c.pad}},
                       {"dilations", Dims{1, 1}},
                       {"group", c.groups}},
                      result);
}

std::string Network::conv_transpose(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                                    std::int64_t kernel) {
  const Shape shape{in, out, kernel, kernel};
  const double bound = 1 / std::sqrt(static_cast<double>(out * kernel * kernel));  // as PyTorch counts fan_in here
  const std::vector<std::string> inputs = {x, uniform(name + ".weight", shape, bound),
                                           uniform(name + ".bias", Shape{out}, bound)};
  return writer_.node("ConvTranspose", inputs, name,
                      {{"kernel_shape", Dims{kernel, kernel}}, {"strides", Dims{kernel, kernel}}});
}

std::string Network::linear(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                            const std::string& result) {
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  const std::string weight = uniform(name + ".weight", Shape{out, in}, bound);
  const std::string bias = uniform(name + ".bias", Shape{out}, bound);
  return writer_.node("Gemm", {x, weight, bias}, name, {{"transB", std::int64_t{1}}}, result);
}

std::string Network::batch_norm(const std::string& name, const std::string& x, std::int64_t channels) {
  const Shape shape{channels};
  const std::vector<std::string> inputs = {x, filled(name + ".weight", shape, 1), filled(name + ".bias", shape, 0),
                                           filled(name + ".running_mean", shape, 0),
                                           filled(name + ".running_var", shape, 1)};
  return writer_.node("BatchNormalization", inputs, name, {{"epsilon", 1e-5}, {"momentum", 0.9}});
}

std::string Network::relu(const std::string& name, const std::string& x) { return writer_.node("Relu", {x}, name); }

std::string Network::relu6(const std::string& name, const std::string& x) {
  return writer_.node("Clip", {x, scalar(0), scalar(6)}, name);
}

std::string Network::add(const std::string& name, const std::string& x, const std::string& y) {
  return writer_.node("Add", {x, y}, name);
}

std::string Network::max_pool(const std::string& name, const std::string& x, std::int64_t kernel, std::int64_t stride,
                              std::int64_t pad) {
  return writer_.node(
      "MaxPool", {x}, name,
      {{"kernel_shape", Dims{kernel, kernel}}, {"strides", Dims{stride, stride}}, {"pads", Dims{pad, pad, pad, pad}}});
}

std::string Network::global_average_pool(const std::string& name, const std::string& x) {
  return writer_.node("GlobalAveragePool", {x}, name);
}

std::string Network::flatten(const std::string& name, const std::string& x) {
  return writer_.node("Flatten", {x}, name, {{"axis", std::int64_t{1}}});
}

std::string Network::dropout(const std::string& name, const std::string& x, double ratio) {
  return ratio == 0 ? x : writer_.node("Dropout", {x, scalar(ratio)}, name);
}

}  // namespace weft::models
