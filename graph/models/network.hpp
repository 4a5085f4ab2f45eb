// Layers over ModelWriter, with PyTorch's names and initial distributions. Internal to this folder.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/onnx/model_writer.hpp"

namespace weft::models {

/// Resolved settings: every one that the architecture has.
class Settings {
 public:
  explicit Settings(std::map<std::string, std::string> values) : values_(std::move(values)) {}
  /// Throw UserError naming the setting, its value and what is allowed.
  std::int64_t integer(const std::string& name, std::int64_t low, std::int64_t high) const;
  Dims integers(const std::string& name, std::int64_t low, std::int64_t high) const;
  double number(const std::string& name, double low, double high) const;

 private:
  const std::map<std::string, std::string>& values() const { return values_; }
  std::map<std::string, std::string> values_;
};

/// A value and what is known of its shape: channels and (square) spatial extent are tracked by the architectures.
class Network {
 public:
  Network(const std::string& name, std::uint64_t seed, std::int64_t opset) : writer_(name, opset), seed_(seed) {}

  std::string input(const Dims& sample, DType type = DType::f32);
  void output(const std::string& value, const Dims& sample);
  onnx::ModelFile finish() && { return std::move(writer_).finish(); }

  /// Zeros; throws UserError once the model is larger than a file can be, before time is spent on drawing it.
  Tensor reserved(const Shape& shape);

  // Initial values. Each returns its name.
  std::string uniform(const std::string& name, const Shape& shape, double bound);
  /// The first `zero_rows` along dimension 0 are zeros.
  std::string normal(const std::string& name, const Shape& shape, double deviation, std::int64_t zero_rows = 0);
  std::string filled(const std::string& name, const Shape& shape, double value);
  std::string constant(const std::string& name, const Tensor& value) { return writer_.initializer(name, value); }
  // What operators take as operands but is no part of the model: written once, named by their values.
  std::string integers(const Dims& values);
  std::string scalar(double value);

  /// Any operator.
  std::string node(const std::string& op, const std::vector<std::string>& inputs, const std::string& name,
                   const Attributes& attributes = {}, const std::string& result = {}) {
    return writer_.node(op, inputs, name, attributes, result);
  }
  /// x in `count` equal parts along its last dimension.
  std::vector<std::string> split(const std::string& name, const std::string& x, int count);

  // Layers.
  struct Convolution {
    std::int64_t in, out, kernel, stride = 1, pad = 0, groups = 1;
    bool bias = false;
    bool kaiming_normal = false;  ///< torchvision's convolutional networks; PyTorch's default otherwise
  };
  /// `result` names the value when given, here and below.
  std::string conv(const std::string& name, const std::string& x, const Convolution& c, const std::string& result = {});
  /// With the kernel as stride: the extents that a pooling by `kernel` divided are back.
  std::string conv_transpose(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                             std::int64_t kernel);
  /// y = x W' + b for x [N, in].
  std::string linear(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                     const std::string& result = {});
  std::string batch_norm(const std::string& name, const std::string& x, std::int64_t channels);
  std::string relu(const std::string& name, const std::string& x);
  std::string relu6(const std::string& name, const std::string& x);
  std::string add(const std::string& name, const std::string& x, const std::string& y);
  std::string max_pool(const std::string& name, const std::string& x, std::int64_t kernel, std::int64_t stride,
                       std::int64_t pad);
  std::string global_average_pool(const std::string& name, const std::string& x);
  std::string flatten(const std::string& name, const std::string& x);
  /// x itself when `ratio` is 0.
  std::string dropout(const std::string& name, const std::string& x, double ratio);

 private:
  onnx::ModelWriter writer_;
  std::uint64_t seed_;
  std::int64_t elements_ = 0;       ///< of all initial values
  std::set<std::string> operands_;  ///< of `integers` and `scalar`, as written
};

}  // namespace weft::models
