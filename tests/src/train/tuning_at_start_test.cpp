// When a run tunes schedules: before it takes its arena, and not after a signal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/models/models.hpp"
#include "src/data/data_writer.hpp"
#include "src/devices/devices.hpp"
#include "src/faults/stop_signals.hpp"
#include "src/files/file_system.hpp"
#include "src/job/job_file.hpp"
#include "src/train/trainer.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/communicator.hpp"
#include "weft/device.hpp"

namespace weft::testing {
namespace {

/// The CPU with a tuner that a signal reaches.
class SignalledDevice final : public Device {
 public:
  bool stopped_before = true, stopped_after = false;
  std::int64_t allocated = 0, allocated_before = -1;

  std::vector<TunedKernel> tune(std::span<const KernelUse>, double, const std::function<bool()>& stop) override {
    allocated_before = allocated;
    stopped_before = stop();
    ::raise(SIGUSR1);
    stopped_after = stop();
    return {};
  }

  const KernelOracle& oracle() const override { return cpu_->oracle(); }
  std::unique_ptr<Allocation> allocate(std::int64_t bytes, MemorySpace space) override {
    allocated += bytes;
    return cpu_->allocate(bytes, space);
  }
  MemorySpace arena_space() const override { return cpu_->arena_space(); }
  std::unique_ptr<Kernel> compile(const KernelSpec& spec) override { return cpu_->compile(spec); }
  void launch(const Kernel& kernel, std::span<std::byte* const> arguments, Lane lane) override {
    cpu_->launch(kernel, arguments, lane);
  }
  void copy(std::byte* to, MemorySpace to_space, const std::byte* from, MemorySpace from_space, std::int64_t bytes,
            Lane lane) override {
    cpu_->copy(to, to_space, from, from_space, bytes, lane);
  }
  DeviceEvent record(Lane lane) override { return cpu_->record(lane); }
  void wait(Lane lane, DeviceEvent event) override { cpu_->wait(lane, event); }
  void synchronize(Lane lane) override { cpu_->synchronize(lane); }

 private:
  const std::unique_ptr<Device> cpu_ = make_device("cpu", {}, false);
};

TEST(TuningAtStart, ComesBeforeTheArenaAndHearsSignals) {
  constexpr std::int64_t kSamples = 4096, kWidth = 16;
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder.path() / name).string(); };
  DataWriter writer(path("data.h5"), "a test",
                    {{"points", DType::f32, Shape{kSamples, kWidth}, {}}, {"labels", DType::i64, Shape{kSamples}, {}}});
  const std::vector<float> points(kSamples * kWidth, 0.5F);
  const std::vector<std::int64_t> labels(kSamples, 1);
  writer.append(0, std::as_bytes(std::span(points)));
  writer.append(1, std::as_bytes(std::span(labels)));
  writer.finish();
  write_builtin_model("mlp", {{"inputs", "16"}, {"hidden", "64"}, {"classes", "4"}}, path("mlp.onnx"));
  const JobSpec job = parse_job(
      "name: tuned\nmodel: mlp.onnx\nbatch: 2048\nsteps: 100\nthreads: 1\n"
      "data: {train: data.h5, inputs: {input: points}, target: labels}\noptimizer: {name: sgd, lr: 0.01}\n",
      "the job", folder.path().string());

  SignalledDevice device;
  const auto world = make_single_communicator();
  PosixFileSystem files;
  StopSignals signals;
  TrainServices services{*world, device, files};
  services.signals = &signals;
  const TrainResult result = train(job, {}, services);
  EXPECT_FALSE(device.stopped_before);
  EXPECT_TRUE(device.stopped_after);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.steps, 1) << "what is wished before a step ends the run after it";
  ASSERT_GE(device.allocated_before, 0) << "it was not asked to tune";
  EXPECT_LE(device.allocated_before, device.allocated - result.arena_bytes);
}

}  // namespace
}  // namespace weft::testing
