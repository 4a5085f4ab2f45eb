// Whole runs in bf16 against PyTorch's automatic mixed precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include "tests/parity/parity_case.hpp"
#include "tests/src/cli/run_weft.hpp"
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
TEST(PrecisionParity, MobilenetV2) { expect_autocast_losses("mobilenet_v2 in one batch"); }
TEST(PrecisionParity, MobilenetV2InSmallBatches) { expect_no_further_from_f32_than_pytorch("mobilenet_v2"); }
TEST(PrecisionParity, Lenet) { expect_autocast_losses("lenet slowly"); }
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

/// In f16, which rounds less than bf16, against PyTorch's f32.
void expect_f32_losses_in_f16(const std::string& name, int ranks = 1, std::vector<std::string> settings = {}) {
  const testing::TemporaryFolder folder;
  const ParityCase parity(name, folder.path());
  settings.insert(settings.end(), {"precision=f16", "threads=2"});
  const ParityCase::Log expected = parity.expected(), got = parity.train(ranks, settings);
  ASSERT_EQ(got.loss.size(), expected.loss.size());
  for (std::size_t i = 0; i < expected.loss.size(); ++i) {
    EXPECT_NEAR(got.loss[i] / expected.loss[i], 1, kMixedTolerance) << "at step " << i + 1;
    EXPECT_FALSE(got.skipped[i]) << "step " << i + 1;
  }
  EXPECT_NEAR(got.evaluation / expected.evaluation, 1, kMixedTolerance) << "over the evaluation samples";
}

TEST(HalfParity, Resnet18) { expect_f32_losses_in_f16("resnet18"); }
TEST(HalfParity, Gpt2) { expect_f32_losses_in_f16("gpt2"); }
TEST(HalfParity, LstmOnTwoRanksWithGradientsAccumulated) { expect_f32_losses_in_f16("lstm", 2, {"micro_batch=2"}); }

/// A scale with which gradients overflow f16 at first.
const std::vector<std::string> kOverflowing{"precision=f16", "threads=1",
                                            "loss_scale={initial: 1073741824, growth_interval: 6}"};

std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(HalfPrecision, AStepThatOverflowsIsSkippedAndTheRunRecovers) {
  const testing::TemporaryFolder folder;
  const ParityCase parity("gpt2", folder.path());
  const ParityCase::Log got = parity.train(1, kOverflowing);
  EXPECT_TRUE(got.skipped.front());
  EXPECT_EQ(std::count(got.skipped.begin(), got.skipped.end() - 1, false) > 5, true);
  // The same batch has the same loss as before while nothing was learnt: three batches make an epoch.
  const auto first_good =
      static_cast<std::size_t>(std::find(got.skipped.begin(), got.skipped.end(), false) - got.skipped.begin());
  for (std::size_t i = 3; i < first_good; ++i) EXPECT_EQ(got.loss[i], got.loss[i - 3]) << "at step " << i + 1;
  EXPECT_LT(got.loss.back(), got.loss.front());
}

TEST(HalfPrecision, TwoRanksSkipTheSameStepsAsOne) {
  const testing::TemporaryFolder one, two;
  const ParityCase alone("gpt2", one.path()), together("gpt2", two.path());
  const ParityCase::Log expected = alone.train(1, kOverflowing), got = together.train(2, kOverflowing);
  EXPECT_EQ(got.skipped, expected.skipped);
  for (std::size_t i = 0; i < expected.loss.size(); ++i) EXPECT_NEAR(got.loss[i] / expected.loss[i], 1, 1e-3);
}

TEST(HalfPrecision, ARunRepeatsAndResumesBitForBit) {
  const testing::TemporaryFolder first, second, third;
  std::vector<std::string> half = kOverflowing;
  half.push_back("steps=9");
  const ParityCase whole("gpt2", first.path()), again("gpt2", second.path()), parts("gpt2", third.path());
  whole.train(1, kOverflowing);
  again.train(1, kOverflowing);
  parts.train(1, half);
  const ParityCase::Log rest = parts.train(1, kOverflowing, "auto");
  const std::string expected = file_bytes(whole.run_folder() / "model.onnx");
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(file_bytes(again.run_folder() / "model.onnx"), expected);
  EXPECT_EQ(file_bytes(parts.run_folder() / "model.onnx"), expected);
  EXPECT_EQ(rest.loss.size(), 20u) << "the log goes on";
}

TEST(HalfPrecision, CheckpointsOfF16AreNotTakenForAnotherPrecisionAndThoseOfF32AndBf16AreEqual) {
  const testing::TemporaryFolder folder;
  const ParityCase parity("lstm", folder.path());
  parity.train(1, {"precision=bf16", "steps=2"});
  parity.train(1, {"precision=f32", "steps=4"}, "auto");
  try {
    parity.train(1, {"precision=f16", "steps=6"}, "auto");
    FAIL() << "a checkpoint without a loss scale was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("precision: f32, the job says f16"), std::string::npos) << error.what();
  }
}

TEST(MixedPrecision, ExplainSaysWhatContractionsReadAndThatNothingIsWidenedInMemory) {
  const testing::TemporaryFolder folder;
  const ParityCase parity("resnet18", folder.path());
  const auto explained = [&](const std::string& precision) {
    const testing::Outcome outcome =
        testing::run_program({WEFT_BINARY, "compile", (folder.path() / "job.yaml").string(), "--explain", "--set",
                              "precision=" + precision});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  EXPECT_NE(explained("bf16").find("contractions read bf16; 0 widened copies in memory"), std::string::npos);
  EXPECT_NE(explained("f16").find("contractions read f16 (the others what was rounded to it, widened to f32"),
            std::string::npos);
  EXPECT_EQ(explained("f32").find("contractions read"), std::string::npos);
}

TEST(MixedPrecision, ARunInBf16RepeatsBitForBitAndWithoutThePassItIsF32) {
  const testing::TemporaryFolder first, second, third;
  const ParityCase a("gpt2", first.path()), b("gpt2", second.path()), c("gpt2", third.path());
  const ParityCase::Log one = a.train(1, {"precision=bf16", "threads=2"}),
                        two = b.train(1, {"precision=bf16", "threads=2"});
  EXPECT_EQ(one.loss, two.loss);
  EXPECT_EQ(file_bytes(a.run_folder() / "model.onnx"), file_bytes(b.run_folder() / "model.onnx"));
  const ParityCase::Log without = c.train(1, {"precision=bf16", "compile.without=[precision]", "threads=2"});
  b.train(1, {"threads=2"});
  EXPECT_EQ(file_bytes(b.run_folder() / "model.onnx"), file_bytes(c.run_folder() / "model.onnx"));
  EXPECT_NE(without.loss, one.loss);
}

}  // namespace
}  // namespace weft
