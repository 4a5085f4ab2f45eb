// Checkpoints written while states change: they hold what the states were, and fail as others do.
#include "src/checkpoint/async_save.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "src/checkpoint/folder.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/faulty_file_system.hpp"
#include "tests/support/host_device.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/thread_world.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using testing::Crash;
using ::testing::ElementsAre;
using testing::Fault;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using testing::HostDevice;
using ::testing::IsEmpty;
using testing::ThreadWorld;

std::int64_t plenty() { return std::int64_t{1} << 40; }

class AsyncSaves : public ::testing::Test {
 protected:
  bool begin(AsyncSave& save, std::int64_t step, int keep = 9) {
    return save.begin(folder.path(), sample_states(static_cast<std::uint64_t>(step)), sample_meta(step), keep);
  }
  void expect_all_sound() {
    for (const StepFile& file : list_checkpoints(files, folder.path()))
      expect_holds(load_checkpoint(files, file.path), sample_states(static_cast<std::uint64_t>(file.step)),
                   sample_meta(file.step));
  }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
  std::unique_ptr<Communicator> alone = make_single_communicator();
};

TEST_F(AsyncSaves, HoldWhatTheStatesWereWhenTheyBegan) {
  ThreadWorld(3).run([&](Communicator& comm) {
    HostDevice device;
    StateTable table(device);
    const Tensor before = pattern(DType::f32, {1001, 3000}, 1), after = pattern(DType::f32, {1001, 3000}, 2);
    const Mesh mesh{{{"tensor", 3}}};
    const AxisPlacement columns{AxisPlacement::Kind::split, 1, {1500, 0, 1500}, 1};
    table.add("w", before, StateScope::lasting, shard_of({DType::f32, before.shape()}, {{columns}}, mesh, comm.rank()));
    AsyncSave save(comm, files, plenty);
    ASSERT_TRUE(save.begin(folder.path(), states_of(table, {"w"}), sample_meta(5), 3));
    table.write_part("w", after);
    EXPECT_TRUE(save.in_flight());
    EXPECT_EQ(save.poll(), std::nullopt);
    table.write_part("w", before);
    table.write_part("w", after);
    EXPECT_EQ(save.poll(), std::nullopt);
    const auto report = save.poll();
    ASSERT_TRUE(report.has_value());
    EXPECT_FALSE(save.in_flight());
    EXPECT_EQ(report->path, folder.path() / "step-5.h5");
    EXPECT_GT(report->bytes, 12000000);
    EXPECT_TRUE(load_checkpoint(files, report->path).states.at(0).value.identical(before));

    // The same file as a save that waits, and again into the same memory.
    table.write_part("w", before);
    save_checkpoint(comm, folder.path() / "waiting", states_of(table, {"w"}), sample_meta(5), files, 3);
    EXPECT_TRUE(read_bytes(folder.path() / "waiting" / "step-5.h5") == read_bytes(report->path));
    table.write_part("w", after);
    ASSERT_TRUE(save.begin(folder.path(), states_of(table, {"w"}), sample_meta(6), 1));
    ASSERT_TRUE(save.finish().has_value());
    barrier(comm, "saved");
    EXPECT_TRUE(load_checkpoint(files, folder.path() / "step-6.h5").states.at(0).value.identical(after));
    EXPECT_FALSE(files.exists(report->path)) << "older ones go";
    EXPECT_EQ(save.finish(), std::nullopt);
    barrier(comm, "looked");
  });
}

TEST_F(AsyncSaves, AreRefusedOnAllRanksWhereOneHasNoMemory) {
  ThreadWorld(2).run([&](Communicator& comm) {
    AsyncSave save(comm, files, comm.rank() == 1 ? [] { return std::int64_t{1000}; } : plenty);
    EXPECT_FALSE(begin(save, 5));
    EXPECT_FALSE(save.in_flight());
  });
  EXPECT_THAT(files.list(folder.path()), IsEmpty());
}

TEST_F(AsyncSaves, AFailedCallIsAnErrorAndTheNextSaveIsGood) {
  save_checkpoint(*alone, folder.path(), sample_states(10), sample_meta(10), files, 9);
  for (std::int64_t call = 0;; ++call) {
    FaultyFileSystem faulty(Fault{Fault::Kind::error, call, ENOSPC, {}});
    AsyncSave save(*alone, faulty, plenty);
    std::string message;
    try {
      begin(save, 20);
      message = save.finish()->warning;
    } catch (const SystemError& error) {
      message = error.what();
    }
    if (std::ssize(faulty.calls()) <= call) break;
    EXPECT_THAT(message, AllOf(HasSubstr("saving the checkpoint of step 20"), HasSubstr("No space left"))) << call;
    expect_all_sound();
    std::filesystem::remove(folder.path() / "step-20.h5");
    EXPECT_THAT(files.list(folder.path()), ElementsAre("step-10.h5")) << call;
    EXPECT_FALSE(save.in_flight());
    EXPECT_TRUE(begin(save, 30)) << "the fault was one; the object is as new";
    EXPECT_TRUE(save.finish().has_value());
    std::filesystem::remove(folder.path() / "step-30.h5");
  }
}

TEST_F(AsyncSaves, AFailureOnAnyRankIsTheSameErrorOnAll) {
  constexpr int kRanks = 3;
  save_checkpoint(*alone, folder.path(), sample_states(10), sample_meta(10), files, 9);
  for (int bad = 0; bad < kRanks; ++bad)
    for (std::int64_t call = 0;; ++call) {
      std::vector<std::string> messages(kRanks);
      std::int64_t calls = 0;
      ThreadWorld(kRanks).run([&](Communicator& comm) {
        FaultyFileSystem faulty(Fault{comm.rank() == bad ? Fault::Kind::error : Fault::Kind::none, call, EIO, {}});
        AsyncSave save(comm, faulty, plenty);
        std::string& message = messages[static_cast<std::size_t>(comm.rank())];
        try {
          begin(save, 20);
          save.finish();
        } catch (const SystemError& error) {
          message = error.what();
        }
        if (comm.rank() == bad) calls = std::ssize(faulty.calls());
      });
      for (const std::string& message : messages) ASSERT_EQ(message, messages[0]);
      expect_all_sound();
      if (calls <= call) {
        EXPECT_EQ(messages[0], "");
        break;
      }
      EXPECT_THAT(messages[0], AllOf(HasSubstr("rank " + std::to_string(bad) + ":"), HasSubstr("Input/output error")));
      std::filesystem::remove(folder.path() / "step-20.h5");
      ASSERT_THAT(files.list(folder.path()), ElementsAre("step-10.h5")) << "rank " << bad << ", call " << call;
    }
}

TEST_F(AsyncSaves, ACrashAtAnyCallLosesNoEarlierCheckpoint) {
  save_checkpoint(*alone, folder.path(), sample_states(10), sample_meta(10), files, 9);
  for (std::int64_t call = 0;; ++call) {
    FaultyFileSystem crashing(Fault{Fault::Kind::crash, call, 0, {}});
    try {
      AsyncSave save(*alone, crashing, plenty);
      begin(save, 20);
      save.finish();
      break;
    } catch (const Crash&) {
    }
    std::vector<RejectedCheckpoint> rejected;
    const auto newest = newest_valid(files, folder.path(), rejected);
    ASSERT_TRUE(newest.has_value());
    ASSERT_THAT(rejected, IsEmpty()) << call;
    expect_all_sound();
    std::filesystem::remove(folder.path() / "step-20.h5");
  }
}

TEST_F(AsyncSaves, OneThatIsGivenUpLeavesNothingOrAGoodCheckpoint) {
  save_checkpoint(*alone, folder.path(), sample_states(10), sample_meta(10), files, 9);
  for (int polls = 0; polls < 3; ++polls) {
    {
      AsyncSave save(*alone, files, plenty);
      begin(save, 20);
      for (int i = 0; i < polls; ++i) EXPECT_EQ(save.poll(), std::nullopt);
    }
    for (const std::string& name : files.list(folder.path())) EXPECT_THAT(name, ::testing::Not(HasSubstr("partial")));
    expect_all_sound();
    std::filesystem::remove(folder.path() / "step-20.h5");
  }
}

TEST_F(AsyncSaves, TwoAtOnceAreAFault) {
  AsyncSave save(*alone, files, plenty);
  begin(save, 20);
  EXPECT_THROW(begin(save, 30), InternalError);
  EXPECT_TRUE(save.finish().has_value());
  EXPECT_THROW(save.poll(), InternalError);
  expect_all_sound();
}

}  // namespace
}  // namespace weft::test
