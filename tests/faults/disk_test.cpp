// Disks that are full or read-only: exit code 3, the file and the cause are named, and what was good stays good.
#include <fmt/format.h>

#include <fstream>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Disk : public TrainingCase {
 protected:
  fs::path runs() const { return folder() / "runs"; }
  /// Leaves less than `bytes` free.
  static void fill(const fs::path& disk, std::uintmax_t bytes) {
    const auto free = fs::space(disk).available;
    if (free <= bytes) return;
    std::ofstream(disk / "filler", std::ios::binary) << std::string(free - bytes, 'x');
  }
};

#define SKIP_UNLESS_MOUNTED(disk) \
  if (!(disk).mounted()) GTEST_SKIP() << "mounting a small file system needs root"

TEST_F(Disk, ThatFillsUpDuringACheckpointEndsTheRunAndEarlierCheckpointsStayGood) {
  ASSERT_EQ(run(train(1, {"--set", "name=whole"})).code, 0);
  fs::rename(runs(), folder() / "elsewhere");
  const SmallDisk disk(runs(), "size=256k");
  SKIP_UNLESS_MOUNTED(disk);
  fill(runs(), 130 << 10);
  const Ended full = run(train(1));
  EXPECT_EQ(full.code, 3) << full.str();
  EXPECT_THAT(full.err, HasSubstr("/runs/run/checkpoints/"));
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  const auto good = sound_checkpoints("run");
  ASSERT_FALSE(good.empty()) << full.str();

  fs::remove(runs() / "filler");
  const Ended ended = run(train(1, {"--set", "checkpoint.keep=2"}));
  EXPECT_EQ(ended.code, 0) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr(fmt::format("(step {} of 12)", good.front())));
  EXPECT_EQ(first_difference(checkpoint("run", 12), folder() / "elsewhere/whole/checkpoints/step-12.h5"), "");
}

TEST_F(Disk, ThatFillsUpUnderTheLogEndsTheRunOnAllRanks) {
  const SmallDisk disk(runs(), "size=1m");
  SKIP_UNLESS_MOUNTED(disk);
  for (const int ranks : {1, 2}) {
    fs::remove(runs() / "filler");
    fs::remove_all(run_folder("run"));
    fill(runs(), (100 << 10) + ranks * (160 << 10));  // each rank maps a log of its operations at the start
    const Ended full = run(train(ranks, {"--set", "steps=5000", "--set", "checkpoint=never"}));
    EXPECT_EQ(full.code, 3) << full.str();
    EXPECT_THAT(full.err, AnyOf(HasSubstr("log.jsonl"), HasSubstr("events.out.tfevents")));
    EXPECT_THAT(full.err, HasSubstr("No space left on device"));
    EXPECT_LT(full.seconds, kSoon);
    EXPECT_GT(log("run").size(), 10U) << "whole lines, as many as there was room for";
  }
}

TEST_F(Disk, KeepsTheCheckpointAndTheModelThatAnExportIsMadeFrom) {
  ASSERT_EQ(run(train(1)).code, 0);
  for (const fs::path& source : {checkpoint("run", 12), folder() / "network.onnx"}) {
    const Ended ended = run(weft({"export", checkpoint("run", 12).string(), "-o", source.string()}));
    EXPECT_EQ(ended.code, 2) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr(source.string() + ": is what the result is made from"));
  }
  EXPECT_EQ(sound_checkpoints("run").front(), 12);
}

TEST_F(Disk, ThatIsFullTakesNoModelAndKeepsNoPieceOfOne) {
  ASSERT_EQ(run(train(1)).code, 0);
  const SmallDisk disk(folder() / "small", "size=64k");
  SKIP_UNLESS_MOUNTED(disk);
  fill(folder() / "small", 0);
  const fs::path model = folder() / "small" / "model.onnx";
  const Ended full = run(weft({"export", checkpoint("run", 12).string(), "-o", model.string()}));
  EXPECT_EQ(full.code, 3) << full.str();
  EXPECT_THAT(full.err, HasSubstr("model.onnx"));
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  for (const auto& entry : fs::directory_iterator(folder() / "small")) EXPECT_EQ(entry.path().filename(), "filler");
}

TEST_F(Disk, ThatWillNotTakeTheFinalModelStillHasTheFinalCheckpoint) {
  fs::create_directories(run_folder("run") / "model.onnx" / "in the way");
  std::ofstream(run_folder("run") / "job.yaml") << "# a former run\n";
  const Ended ended = run(train(1));
  EXPECT_EQ(ended.code, 3) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr("model.onnx"));
  EXPECT_EQ(sound_checkpoints("run").front(), 12);
  EXPECT_EQ(exit_report("run")->reason, ExitReason::system_error);
}

TEST_F(Disk, ThatIsReadOnlyIsSaidBeforeAnythingIsComputed) {
  const SmallDisk disk(runs(), "size=256k");
  SKIP_UNLESS_MOUNTED(disk);
  disk.make_read_only();
  for (const int ranks : {1, 2}) {
    const Ended ended = run(train(ranks));
    EXPECT_EQ(ended.code, 3) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr("/runs/run"));
    EXPECT_THAT(ended.err, HasSubstr("Read-only file system"));
  }
}

}  // namespace
}  // namespace weft::testing
