// Faults of one process at every point of a save: errors, full disks, crashes. Earlier checkpoints are never lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "src/checkpoint/folder.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/faulty_file_system.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using testing::Crash;
using ::testing::ElementsAre;
using testing::Fault;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TemporaryFolder;

class Faults : public ::testing::Test {
 protected:
  SaveReport save(FileSystem& through, std::int64_t step, std::uint64_t salt, int keep = 9) {
    return save_checkpoint(*alone, folder.path(), sample_states(salt), sample_meta(step), through, keep);
  }
  /// Every checkpoint of the folder, by name, is sound and holds what its step's salt made.
  void expect_all_sound() {
    std::vector<RejectedCheckpoint> rejected;
    for (const StepFile& file : list_checkpoints(files, folder.path()))
      expect_holds(load_checkpoint(files, file.path), sample_states(static_cast<std::uint64_t>(file.step)),
                   sample_meta(file.step));
  }

  TemporaryFolder folder;
  PosixFileSystem files;
  std::unique_ptr<Communicator> alone = make_single_communicator();
};

TEST_F(Faults, AfterACrashAtAnyCallThereAreOnlySoundCheckpoints) {
  save(files, 10, 10);
  save(files, 20, 20);
  bool committed = false;
  for (std::int64_t call = 0;; ++call) {
    FaultyFileSystem crashing(Fault{Fault::Kind::crash, call, 0, {}});
    try {
      save(crashing, 30, 30, 2);
      ASSERT_GE(call, 14);
      break;
    } catch (const Crash&) {
    }
    expect_all_sound();
    std::vector<RejectedCheckpoint> rejected;
    const auto newest = newest_valid(files, folder.path(), rejected);
    ASSERT_TRUE(newest.has_value()) << "call " << call;
    ASSERT_THAT(rejected, IsEmpty()) << "call " << call << ": " << crashing.calls().back();
    // Once the new one is the newest, later crashes do not take it away again.
    ASSERT_TRUE(newest->step == 30 || (newest->step == 20 && !committed)) << "call " << call;
    committed = newest->step == 30;
    if (committed) {
      std::filesystem::remove(folder.path() / "step-30.h5");
      save(files, 10, 10);
      committed = false;
    }
  }
  EXPECT_THAT(files.list(folder.path()), ElementsAre("step-20.h5", "step-30.h5"));
}

TEST_F(Faults, AnErrorAtAnyCallLeavesTheFolderAsItWas) {
  save(files, 10, 10);
  save(files, 20, 20);
  for (const int cause : {EIO, ENOSPC, EACCES})
    for (std::int64_t call = 0;; ++call) {
      FaultyFileSystem faulty(Fault{Fault::Kind::error, call, cause, {}});
      std::string message;
      try {
        message = save(faulty, 30, 30, 2).warning;
      } catch (const SystemError& error) {
        message = error.what();
      }
      if (static_cast<std::int64_t>(faulty.calls().size()) <= call) break;
      EXPECT_THAT(message, HasSubstr(std::strerror(cause))) << faulty.calls().back();
      expect_all_sound();
      std::filesystem::remove(folder.path() / "step-30.h5");
      save(files, 10, 10);
      EXPECT_THAT(files.list(folder.path()), ElementsAre("step-10.h5", "step-20.h5")) << "call " << call;
    }
}

TEST_F(Faults, ADiskThatFillsAtAnyByteIsNamedAndNothingIsLost) {
  save(files, 10, 10);
  int failed = 0;
  for (std::int64_t capacity = 0;; capacity += 97) {
    FaultyFileSystem full(Fault{Fault::Kind::none, 0, 0, capacity});
    const std::string message = message_of<SystemError>([&] { save(full, 20, 20); });
    if (message == "no error") break;
    ++failed;
    EXPECT_THAT(message, AllOf(HasSubstr(".step-20.h5.partial"), HasSubstr("No space left")));
    EXPECT_THAT(files.list(folder.path()), ElementsAre("step-10.h5"));
  }
  EXPECT_GT(failed, 20);
  expect_all_sound();
}

TEST_F(Faults, AWriteThatIsLostInSilenceIsNeverCommitted) {
  int noticed = 0;
  for (std::int64_t call = 0;; ++call) {
    FaultyFileSystem lossy(Fault{Fault::Kind::short_write, call, 0, {}});
    bool failed = false;
    try {
      save(lossy, 20, 20);
    } catch (const SystemError&) {
      failed = true;
    }
    if (static_cast<std::int64_t>(lossy.calls().size()) <= call) break;
    const bool wrote = lossy.calls()[static_cast<std::size_t>(call)].starts_with("write");
    EXPECT_TRUE(wrote || !failed) << lossy.calls()[static_cast<std::size_t>(call)] << ", call " << call;
    noticed += failed;
    expect_all_sound();
    std::filesystem::remove(folder.path() / "step-20.h5");
  }
  // All writes but that of the small integer, whose lost half is zeros anyway.
  EXPECT_EQ(noticed, static_cast<int>(sample_states().size()) - 2 + 2);
}

TEST_F(Faults, OldCheckpointsThatCannotBeRemovedAreAWarning) {
  save(files, 10, 10);
  FaultyFileSystem counting;
  save(counting, 20, 20, 1);
  save(files, 10, 10);
  const auto last = static_cast<std::int64_t>(counting.calls().size()) - 1;
  FaultyFileSystem faulty(Fault{Fault::Kind::error, last, EACCES, {}});
  EXPECT_THAT(save(faulty, 20, 20, 1).warning, HasSubstr("Permission denied"));
  expect_all_sound();
}

/// A small file system of its own; needs the right to mount.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& at, const char* options) : at_(at) {
    std::filesystem::create_directories(at_);
    mounted = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, options) == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(at_.c_str(), MNT_DETACH);
  }
  void make_read_only() { ::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr); }
  bool mounted = false;

 private:
  std::filesystem::path at_;
};

TEST_F(Faults, ARealFullDiskIsNamedAndNothingIsLost) {
  const auto at = folder.path() / "disk";
  SmallDisk disk(at, "size=96k");
  if (!disk.mounted) GTEST_SKIP() << "cannot mount a file system: " << std::strerror(errno);
  int failed = 0;
  for (std::int64_t step = 1; step < 20 && failed < 3; ++step) {
    const std::string message =
        message_of<SystemError>([&] { save_checkpoint(*alone, at, sample_states(), sample_meta(step), files, 99); });
    if (message == "no error") continue;
    ++failed;
    EXPECT_THAT(message, AllOf(HasSubstr("partial"), HasSubstr("No space left")));
  }
  EXPECT_EQ(failed, 3);
  std::vector<RejectedCheckpoint> rejected;
  EXPECT_TRUE(newest_valid(files, at, rejected).has_value());
  EXPECT_THAT(rejected, IsEmpty());
  for (const std::string& name : files.list(at)) EXPECT_THAT(name, Not(HasSubstr("partial")));
}

TEST_F(Faults, AReadOnlyFolderIsNamed) {
  const auto at = folder.path() / "disk";
  SmallDisk disk(at, "size=1m");
  if (!disk.mounted) GTEST_SKIP() << "cannot mount a file system: " << std::strerror(errno);
  const auto report = save_checkpoint(*alone, at, sample_states(), sample_meta(1), files, 3);
  disk.make_read_only();
  EXPECT_THAT(message_of<SystemError>([&] { save_checkpoint(*alone, at, sample_states(), sample_meta(2), files, 3); }),
              AllOf(HasSubstr("step-2.h5.partial"), HasSubstr("Read-only file system")));
  expect_holds(load_checkpoint(files, report.path), sample_states(), sample_meta(1));
}

}  // namespace
}  // namespace weft::test
