// Whole runs in bf16 against PyTorch's automatic mixed precision.
#include <gtest/gtest.h>

#include "tests/parity/parity_case.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using testing::ParityCase;

constexpr double kMixedTolerance = 2e-2;  // relative

void expect_autocast_losses(const std::string& name, int ranks = 1, std::vector<std::string> settings = {}) {
  const testing::TemporaryFolder folder;
  const ParityCase parity(name, folder.path());
  settings.insert(settings.end(), {"precision=bf16", "threads=2"});
  const ParityCase::Log expected = parity.expected("bf16"), got = parity.train(ranks, settings);
  ASSERT_EQ(got.loss.size(), expected.loss.size());
  for (std::size_t i = 0; i < expected.loss.size(); ++i)
    EXPECT_NEAR(got.loss[i] / expected.loss[i], 1, kMixedTolerance) << "at step " << i + 1;
  EXPECT_NEAR(got.evaluation / expected.evaluation, 1, kMixedTolerance) << "over the evaluation samples";
}

/// Where PyTorch's own mixed precision is further than the tolerance from its f32, rounding decides what is learnt:
/// then no further from f32 than PyTorch.
void expect_no_further_from_f32_than_pytorch(const std::string& name) {
  const testing::TemporaryFolder folder;
  const ParityCase parity(name, folder.path());
  const ParityCase::Log mixed = parity.expected("bf16"), exact = parity.expected(),
                        got = parity.train(1, {"precision=bf16", "threads=2"});
  const auto distance = [&](const ParityCase::Log& log) {
    double largest = std::abs(log.evaluation / exact.evaluation - 1);
    for (std::size_t i = 0; i < exact.loss.size(); ++i)
      largest = std::max(largest, std::abs(log.loss.at(i) / exact.loss[i] - 1));
    return largest;
  };
  EXPECT_LT(distance(got), std::max(kMixedTolerance, distance(mixed)));
}

TEST(PrecisionParity, Resnet18) { expect_autocast_losses("resnet18"); }
TEST(PrecisionParity, Resnet50) { expect_autocast_losses("resnet50"); }
TEST(PrecisionParity, MobilenetV2) { expect_no_further_from_f32_than_pytorch("mobilenet_v2"); }
TEST(PrecisionParity, Unet) { expect_autocast_losses("unet"); }
TEST(PrecisionParity, Lstm) { expect_autocast_losses("lstm"); }
TEST(PrecisionParity, Bert) { expect_autocast_losses("bert"); }
TEST(PrecisionParity, Gpt2) { expect_autocast_losses("gpt2"); }
TEST(PrecisionParity, Vit) { expect_autocast_losses("vit"); }

TEST(PrecisionParity, Gpt2OnTwoRanks) { expect_autocast_losses("gpt2", 2); }
TEST(PrecisionParity, Resnet18OnTwoRanksThatShareBatchStatistics) { expect_autocast_losses("resnet18", 2); }
TEST(PrecisionParity, LstmWithGradientsAccumulatedOverFourPasses) {
  expect_autocast_losses("lstm", 1, {"micro_batch=2"});
}

}  // namespace
}  // namespace weft
