// Whole runs against PyTorch: `weft train` on a model file, data file and job gives the losses that PyTorch gave.
#include <gtest/gtest.h>

#include "tests/parity/parity_case.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using testing::ParityCase;

constexpr double kTolerance = 1e-4;  // relative

void expect_pytorch_losses(const std::string& name, int ranks = 1, const std::vector<std::string>& settings = {}) {
  const testing::TemporaryFolder folder;
  const ParityCase parity(name, folder.path());
  const ParityCase::Log expected = parity.expected(), got = parity.train(ranks, settings);
  ASSERT_EQ(got.loss.size(), expected.loss.size());
  for (std::size_t i = 0; i < expected.loss.size(); ++i) {
    EXPECT_NEAR(got.loss[i] / expected.loss[i], 1, kTolerance) << "at step " << i + 1;
    EXPECT_NEAR(got.lr[i], expected.lr[i], 1e-6 * expected.lr[i]) << "at step " << i + 1;
  }
  EXPECT_NEAR(got.evaluation / expected.evaluation, 1, kTolerance) << "over the evaluation samples";
}

TEST(Parity, MlpWithNesterovMomentumAndCosineSchedule) { expect_pytorch_losses("mlp"); }
TEST(Parity, MlpWithAdamAndClippedGradientsAndSmoothedLabels) { expect_pytorch_losses("mlp adam"); }
TEST(Parity, MlpWithCenteredRmspropAndHuberLossAndStepSchedule) { expect_pytorch_losses("mlp rmsprop"); }
TEST(Parity, MlpWithAdagradAndLogisticLossAndPolynomialSchedule) { expect_pytorch_losses("mlp adagrad"); }
TEST(Parity, LenetWithAdamwAndExponentialSchedule) { expect_pytorch_losses("lenet"); }
TEST(Parity, Resnet18WithMomentumAndCosineSchedule) { expect_pytorch_losses("resnet18"); }
TEST(Parity, Resnet50WithMomentum) { expect_pytorch_losses("resnet50"); }
TEST(Parity, MobilenetV2WithMomentum) { expect_pytorch_losses("mobilenet_v2"); }
TEST(Parity, UnetWithMomentum) { expect_pytorch_losses("unet"); }
TEST(Parity, LstmWithMomentum) { expect_pytorch_losses("lstm"); }
TEST(Parity, BertWithAdamw) { expect_pytorch_losses("bert"); }
TEST(Parity, Gpt2WithAdamw) { expect_pytorch_losses("gpt2"); }
TEST(Parity, VitWithAdamw) { expect_pytorch_losses("vit"); }

TEST(Parity, MlpOnThreeRanksWithAnUnevenLastBatch) { expect_pytorch_losses("mlp", 3); }
TEST(Parity, LenetOnTwoRanks) { expect_pytorch_losses("lenet", 2); }
TEST(Parity, LenetOnThreeRanks) { expect_pytorch_losses("lenet", 3); }
TEST(Parity, Resnet18OnTwoRanksThatShareBatchStatistics) { expect_pytorch_losses("resnet18", 2); }
TEST(Parity, Gpt2OnTwoRanks) { expect_pytorch_losses("gpt2", 2); }
TEST(Parity, UnetOnTwoRanksThatShareBatchStatistics) { expect_pytorch_losses("unet", 2); }

TEST(Parity, LenetOnTwoRanksWithoutThePassesThatOrderAndPlace) {
  expect_pytorch_losses("lenet", 2, {"compile.without=[buckets, updates, schedule, reuse, memory]"});
}

TEST(Parity, Resnet18WhoseForwardPassRunsAgain) { expect_pytorch_losses("resnet18", 2, {"parallel.recompute=full"}); }
TEST(Parity, UnetWhoseForwardPassRunsAgain) { expect_pytorch_losses("unet", 1, {"parallel.recompute=full"}); }
TEST(Parity, Gpt2WhoseForwardPassRunsAgainInEveryPass) {
  expect_pytorch_losses("gpt2", 2, {"parallel.recompute=full", "micro_batch=1"});
}

TEST(Parity, MlpWithGradientsAccumulatedOverUnevenPasses) { expect_pytorch_losses("mlp", 1, {"micro_batch=5"}); }
TEST(Parity, LenetWithGradientsAccumulatedOverFourPasses) { expect_pytorch_losses("lenet", 1, {"micro_batch=4"}); }
TEST(Parity, LenetWithGradientsAccumulatedOnTwoRanks) { expect_pytorch_losses("lenet", 2, {"micro_batch=4"}); }
TEST(Parity, LstmWithGradientsAccumulatedOverFourPasses) { expect_pytorch_losses("lstm", 1, {"micro_batch=2"}); }
TEST(Parity, VitWithGradientsAccumulatedOverFourPasses) { expect_pytorch_losses("vit", 1, {"micro_batch=2"}); }

}  // namespace
}  // namespace weft
