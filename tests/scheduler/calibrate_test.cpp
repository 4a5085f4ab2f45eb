// Measuring on this machine's CPU: what is measured is consistent, and complete. No figure is tested.
#include "scheduler/calibrate.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "kernels/cpu/cpu_device.hpp"
#include "scheduler/calibration.hpp"
#include "scheduler/simulate.hpp"
#include "tests/scheduler/programs.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

CalibrateOptions shortest() {
  CalibrateOptions options;
  options.quick = true;
  options.seconds_a_sample = 0;
  return options;
}

TEST(Calibrate, MeasuresEveryPartOfACpu) {
  const auto device = make_cpu_device({.threads = 1});
  const auto comm = make_single_communicator();
  const auto costs = calibrate(*device, *comm, shortest());
  EXPECT_EQ(costs.ranks, 1);
  EXPECT_EQ(costs.threads, 1);
  EXPECT_EQ(costs.target, device->target().str());
  EXPECT_GT(costs.peak_flops, 0);
  EXPECT_GT(costs.memory_bandwidth, 0);
  EXPECT_GE(costs.peak_bandwidth, costs.memory_bandwidth);
  EXPECT_GT(costs.launch_seconds, 0);
  EXPECT_GE(costs.triad.size(), 3u);
  for (const char* name : {"onednn.matmul f32", "onednn.convolution f32", "onednn.convolution_backward_data f32",
                           "onednn.convolution_backward_weights f32", "generated f32"})
    EXPECT_TRUE(costs.rates.count(name)) << name;
  EXPECT_TRUE(costs.collectives.empty()) << "one rank has nobody to talk to";
  const CalibrationSet set{"m", 0, {costs}};
  EXPECT_EQ(parse_calibration(calibration_to_json(set), "c"), set);
}

/// What a device offers for `body`, as a Program of one kernel on arena memory.
Program one_kernel_program(const Device& device, const Graph& body) {
  const auto answer = device.oracle().ask(body);
  Program program;
  program.role = "test";
  program.kernels = {answer.offer->spec};
  program.kernel_seconds = {1};
  Instruction i;
  i.kernel = 0;
  const auto& offered = answer.offer->spec.body;
  const auto add = [&](ValueId value, std::vector<View>& views) {
    Buffer buffer;
    buffer.offset = program.arena_bytes[0];
    buffer.layout = offered.layout(value);
    buffer.dtype = offered.type(value).dtype;
    buffer.bytes = buffer.layout.bytes(buffer.dtype);
    program.arena_bytes[0] += (buffer.bytes + 63) / 64 * 64;
    views.push_back({static_cast<int>(program.buffers.size()), 0, buffer.dtype, buffer.layout});
    program.buffers.push_back(buffer);
  };
  for (const auto& input : offered.inputs()) add(input.value, i.reads);
  for (const auto& output : offered.outputs()) add(output.value, i.writes);
  program.instructions.push_back(i);
  return program;
}

TEST(Calibrate, KernelsOfAProgramArePricedExactlyAfterwards) {
  const auto device = make_cpu_device({.threads = 1});
  const auto comm = make_single_communicator();
  const auto program = one_kernel_program(*device, pointwise_spec(1000).body);
  Calibration costs;
  calibrate_programs(*device, *comm, {&program, 1}, shortest(), costs);
  ASSERT_EQ(costs.kernels.size(), 1u);
  const auto prediction = simulate(program, &costs, {Mesh{}, 1});
  EXPECT_DOUBLE_EQ(prediction.seconds, costs.kernels.begin()->second.seconds);
  EXPECT_DOUBLE_EQ(prediction.measured_share, 1);
}

TEST(Calibrate, StorageIsMeasuredAndLeftAsItWas) {
  const auto folder = std::filesystem::temp_directory_path() / "weft-calibrate-test";
  std::filesystem::create_directories(folder);
  EXPECT_GT(measure_storage(folder, 1 << 20).read, 0);
  EXPECT_GT(measure_storage(folder, 1 << 20).write, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
  EXPECT_THROW((void)measure_storage(folder, 1 << 20), SystemError);
}

}  // namespace
}  // namespace weft::testing
