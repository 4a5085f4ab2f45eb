// Layers over ModelWriter, with PyTorch's names and initial distributions. Internal to this folder.
#pragma once

#include <cstdint>
#include <map>
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

 private:
  const std::map<std::string, std::string>& values() const { return values_; }
  std::map<std::string, std::string> values_;
};

/// A value and what is known of its shape: channels and (square) spatial extent are tracked by the architectures.
class Network {
 public:
  Network(const std::string& name, std::uint64_t seed) : writer_(name), seed_(seed) {}

  std::string input(const Dims& sample);
  void output(const std::string& value, const Dims& sample);

  struct Convolution {
    std::int64_t in, out, kernel, stride = 1, pad = 0;
    bool bias = false;
    bool kaiming_normal = false;  ///< torchvision's ResNet; PyTorch's default otherwise
  };
  std::string conv(const std::string& name, const std::string& x, const Convolution& c);
  /// y = x W' + b. `result` names the value when given.
  std::string linear(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                     const std::string& result = {});
  std::string batch_norm(const std::string& name, const std::string& x, std::int64_t channels);
  std::string relu(const std::string& name, const std::string& x);
  std::string add(const std::string& name, const std::string& x, const std::string& y);
  std::string max_pool(const std::string& name, const std::string& x, std::int64_t kernel, std::int64_t stride,
                       std::int64_t pad);
  std::string global_average_pool(const std::string& name, const std::string& x);
  std::string flatten(const std::string& name, const std::string& x);

  onnx::ModelFile finish() && { return std::move(writer_).finish(); }

 private:
  std::string uniform(const std::string& name, const Shape& shape, double bound);
  std::string normal(const std::string& name, const Shape& shape, double deviation);
  std::string filled(const std::string& name, const Shape& shape, double value);

  onnx::ModelWriter writer_;
  std::uint64_t seed_;
};

}  // namespace weft::models
