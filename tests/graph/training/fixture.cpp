#include "tests/graph/training/fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace weft::test {

nlohmann::json load_fixture(const std::string& section) {
  std::ifstream file(std::string(WEFT_TRAINING_FIXTURES) + "/training_fixture.json");
  return nlohmann::json::parse(file).at(section);
}

Tensor noise(const Shape& shape, std::int64_t salt, float factor, float offset) {
  Tensor t(DType::f32, shape);
  const auto values = t.mutable_values<float>();
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto i = static_cast<std::int64_t>(k);
    const std::int64_t n = (i * 7919 + salt * 104729 + (i * i % 37) * 613) % 2048;
    values[k] = (static_cast<float>(n) / 1024.0F - 1.0F) * factor + offset;
  }
  return t;
}

Tensor noise(const Shape& shape, std::int64_t salt) { return noise(shape, salt, 1, 0); }

OptimizerSpec optimizer_spec(const std::string& name, const nlohmann::json& o) {
  OptimizerSpec s;
  s.name = name;
  s.lr = o.value("lr", s.lr);
  s.momentum = o.value("momentum", s.momentum);
  s.dampening = o.value("dampening", s.dampening);
  s.nesterov = o.value("nesterov", s.nesterov);
  s.beta1 = o.value("beta1", s.beta1);
  s.beta2 = o.value("beta2", s.beta2);
  s.eps = o.value("eps", s.eps);
  s.alpha = o.value("alpha", s.alpha);
  s.centered = o.value("centered", s.centered);
  s.lr_decay = o.value("lr_decay", s.lr_decay);
  s.initial_accumulator = o.value("initial_accumulator", s.initial_accumulator);
  s.trust_coefficient = o.value("trust_coefficient", s.trust_coefficient);
  s.weight_decay = o.value("weight_decay", s.weight_decay);
  s.clip_norm = o.value("clip_norm", s.clip_norm);
  s.clip_value = o.value("clip_value", s.clip_value);
  return s;
}

LossSpec loss_spec(const std::string& name, const nlohmann::json& o) {
  LossSpec s;
  s.name = name;
  s.label_smoothing = o.value("label_smoothing", s.label_smoothing);
  s.ignore_index = o.value("ignore_index", s.ignore_index);
  s.delta = o.value("delta", s.delta);
  return s;
}

ScheduleSpec schedule_spec(const nlohmann::json& o) {
  ScheduleSpec s;
  s.name = o.value("name", s.name);
  s.warmup = o.value("warmup", s.warmup);
  s.final_factor = o.value("final_factor", s.final_factor);
  s.step_size = o.value("step_size", s.step_size);
  s.gamma = o.value("gamma", s.gamma);
  s.power = o.value("power", s.power);
  return s;
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < t.elements(); ++i) result.push_back(t.as_double(i));
  return result;
}

void expect_close(const Tensor& actual, const std::vector<double>& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(static_cast<std::size_t>(actual.elements()), expected.size()) << what;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = actual.as_double(static_cast<std::int64_t>(i));
    EXPECT_NEAR(a, expected[i], tolerance * std::max(1.0, std::abs(expected[i]))) << what << ", element " << i;
  }
}

}  // namespace weft::test
