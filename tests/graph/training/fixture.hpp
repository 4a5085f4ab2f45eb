// PyTorch's numbers, and the inputs that both sides compute.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/job.hpp"

namespace weft::test {

/// One section of training_fixture.json. By value, so that a loop may run over the call itself.
nlohmann::json load_fixture(const std::string& section);

/// The same pseudo-random numbers in [-1, 1) as the fixture's script, exact in f32.
Tensor noise(const Shape& shape, std::int64_t salt);
/// noise * factor + offset.
Tensor noise(const Shape& shape, std::int64_t salt, float factor, float offset);

/// An optimiser or loss spec from the fixture's options.
OptimizerSpec optimizer_spec(const std::string& name, const nlohmann::json& options);
LossSpec loss_spec(const std::string& name, const nlohmann::json& options);
ScheduleSpec schedule_spec(const nlohmann::json& spec);

std::vector<double> numbers(const Tensor& t);

/// Fails where an element is further than `tolerance` * max(1, |expected|) away.
void expect_close(const Tensor& actual, const std::vector<double>& expected, double tolerance, const std::string& what);

}  // namespace weft::test
