// KernelCache: kernels of equal specs are compiled once, and new ones together.
#include <gtest/gtest.h>

#include "src/executor/executor.hpp"
#include "tests/support/host_device.hpp"

namespace weft {
namespace {

/// Remembers what it was asked to compile, by implementation.
class RecordingDevice final : public testing::HostDevice {
 public:
  std::vector<std::unique_ptr<Kernel>> compile_all(std::span<const KernelSpec* const> specs) override {
    std::vector<std::unique_ptr<Kernel>> kernels;
    for (const KernelSpec* spec : specs) {
      compiled.push_back(spec->implementation);
      kernels.push_back(std::make_unique<Kernel>());
    }
    calls += specs.empty() ? 0 : 1;
    return kernels;
  }
  std::vector<std::string> compiled;
  int calls = 0;
};

KernelSpec spec_of(const std::string& implementation) {
  KernelSpec spec;
  spec.implementation = implementation;
  return spec;
}

TEST(KernelCache, CompilesWhatIsNewOnceAndInOneCall) {
  RecordingDevice device;
  KernelCache cache(device);
  const std::vector<KernelSpec> first{spec_of("a"), spec_of("b"), spec_of("a")};
  const auto kernels = cache.get(first);
  ASSERT_EQ(kernels.size(), 3u);
  EXPECT_EQ(kernels[0], kernels[2]);
  EXPECT_NE(kernels[0], kernels[1]);
  EXPECT_EQ(device.calls, 1);
  const std::vector<KernelSpec> second{spec_of("c"), spec_of("b")};
  EXPECT_EQ(cache.get(second)[1], kernels[1]);
  EXPECT_EQ(device.calls, 2);
  EXPECT_EQ(device.compiled, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(cache.get(first)[0], kernels[0]);
  EXPECT_EQ(device.calls, 2);
  EXPECT_EQ(cache.size(), 3u);
}

TEST(KernelUses, CountLaunchesAndSayWhichOperandAResultLiesOverEachTime) {
  Program program;
  program.kernels = {spec_of("always over its second operand"), spec_of("once over"), spec_of("not launched")};
  const auto arena = [](std::int64_t offset) {
    Buffer b;
    b.offset = offset;
    return b;
  };
  Buffer state;
  state.kind = BufferKind::state;  // not at the arena's beginning, whatever its offset says
  program.buffers = {arena(0), arena(0), arena(4096), state};
  const auto launch = [&](int kernel, std::vector<View> reads, std::vector<View> writes) {
    Instruction i;
    i.kernel = kernel;
    i.reads = std::move(reads);
    i.writes = std::move(writes);
    program.instructions.push_back(std::move(i));
  };
  const auto at = [](int buffer, std::int64_t offset = 0) {
    View view;
    view.buffer = buffer;
    view.offset = offset;
    return view;
  };
  launch(0, {at(3), at(0)}, {at(1)});
  launch(0, {at(2), at(0, 4096 + 64)}, {at(2, 64)});
  launch(1, {at(3)}, {at(3), at(0)});
  launch(1, {at(3)}, {at(2), at(0)});
  const std::vector<KernelUse> uses = kernel_uses(program);
  ASSERT_EQ(uses.size(), 3u);
  EXPECT_EQ(uses[0].spec, &program.kernels[0]);
  EXPECT_EQ(uses[0].launches, 2);
  EXPECT_EQ(uses[0].over, std::vector<int>{1});
  EXPECT_EQ(uses[1].launches, 2);
  EXPECT_EQ(uses[1].over, (std::vector<int>{-1, -1}));
  EXPECT_EQ(uses[2].launches, 0);
}

}  // namespace
}  // namespace weft
