// A rank's record survives whatever ends the rank, and is read back with care.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <random>

#include "src/faults/crash_notes.hpp"
#include "src/faults/last_operation.hpp"
#include "src/faults/rank_records.hpp"
#include "tests/src/faults/process.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using test::in_child;
class LastOperationTest : public test::RunFolder {};

TEST_F(LastOperationTest, KeepsWhatWasEnteredLast) {
  LastOperationFile file(run, 2, 4, 77);
  file.enter(1, 0, "first");
  file.enter(118, 6, "all-reduce bucket 2", RankState::waiting);
  const auto record = read_last_operation(run / "ranks" / "2");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->rank, 2);
  EXPECT_EQ(record->ranks, 4);
  EXPECT_EQ(record->run, 77u);
  EXPECT_EQ(record->step, 118);
  EXPECT_EQ(record->instruction, 6);
  EXPECT_EQ(record->operation, "all-reduce bucket 2");
  EXPECT_EQ(record->state, RankState::waiting);
  EXPECT_EQ(record->pid, getpid());
  EXPECT_FALSE(record->ended());
  EXPECT_EQ(is_alive(*record), Alive::yes);
}

TEST_F(LastOperationTest, SurvivesSigkill) {
  const int status = in_child([&] {
    LastOperationFile file(run, 0, 1, 1);
    file.enter(9, 3, "conv1 + bias + relu");
    raise(SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto record = read_last_operation(run / "ranks" / "0");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->step, 9);
  EXPECT_EQ(record->operation, "conv1 + bias + relu");
  EXPECT_EQ(is_alive(*record), Alive::no);
  EXPECT_NE(describe_rank(run, 0).find("its process is gone"), std::string::npos) << describe_rank(run, 0);
}

TEST_F(LastOperationTest, AZombieIsNotAlive) {
  const pid_t child = fork();
  if (child == 0) {
    LastOperationFile file(run, 0, 1, 1);
    _exit(0);
  }
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  const auto record = read_last_operation(run / "ranks" / "0");
  ASSERT_TRUE(record);
  EXPECT_EQ(is_alive(*record), Alive::no);
  waitpid(child, nullptr, 0);
}

// Until `child` has written a step, however late a busy machine runs it; false when it has not after half a minute.
bool writes(const std::filesystem::path& run, pid_t child) {
  for (int wait = 0; wait < 30000; ++wait, usleep(1000)) {
    const auto record = read_last_operation(run / "ranks" / "0");
    if (record && record->pid == child && record->step > 0) return true;
  }
  return false;
}

TEST_F(LastOperationTest, IsWholeWheneverTheKillComes) {
  // The child writes matching numbers as fast as it can; whatever the reader sees must match too.
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      LastOperationFile file(run, 0, 1, 1);
      for (std::int64_t step = 1;; ++step) file.enter(step, static_cast<int>(step % 1000), std::to_string(step));
    }
    const bool started = writes(run, child);
    usleep(static_cast<useconds_t>(1000 + 137 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    ASSERT_TRUE(started);
    const auto record = read_last_operation(run / "ranks" / "0");
    ASSERT_TRUE(record);
    EXPECT_EQ(record->operation, std::to_string(record->step));
    EXPECT_EQ(record->instruction, record->step % 1000);
  }
}

TEST_F(LastOperationTest, ACrashLeavesItsSignalAndStillEndsTheProcessByIt) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) {
    const int status = in_child([&] {
      LastOperationFile file(run, 0, 1, 1);
      const CrashNotes notes(file);
      file.enter(4, 2, "softmax");
      raise(signal);
    });
    ASSERT_TRUE(WIFSIGNALED(status)) << signal;
    EXPECT_EQ(WTERMSIG(status), signal);
    EXPECT_EQ(read_last_operation(run / "ranks" / "0")->crash_signal, signal);
  }
}

TEST_F(LastOperationTest, AFaultOfTheProcessorIsNotedOnce) {
  const int status = in_child([&] {
    LastOperationFile file(run, 0, 1, 1);
    const CrashNotes notes(file);
    void* const nowhere = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *static_cast<volatile int*>(nowhere) = 1;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_EQ(read_last_operation(run / "ranks" / "0")->crash_signal, SIGSEGV);
}

TEST_F(LastOperationTest, LongNamesAndMessagesAreCut) {
  LastOperationFile file(run, 0, 1, 1);
  file.enter(1, 0, std::string(10000, 'x'));
  file.finish(RankState::failed, ExitReason::user_error, std::string(100000, 'y'));
  const auto record = read_last_operation(run / "ranks" / "0");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->operation, std::string(127, 'x'));
  EXPECT_EQ(record->message, std::string(2047, 'y'));
  EXPECT_EQ(record->reason, ExitReason::user_error);
}

TEST_F(LastOperationTest, DamagedFilesAreNeverBelieved) {
  { LastOperationFile file(run, 0, 1, 1); }
  const auto path = run / "ranks" / "0";
  std::string good(4096, '\0');
  std::ifstream(path, std::ios::binary).read(good.data(), 4096);
  const auto reads = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return read_last_operation(path).has_value();
  };
  EXPECT_TRUE(reads(good));
  EXPECT_FALSE(reads(""));
  EXPECT_FALSE(reads(good.substr(0, 100)));
  EXPECT_FALSE(reads(std::string(4096, '\0')));
  EXPECT_FALSE(reads(std::string(4096, '\xff')));
  std::string version = good;
  version[8] = 9;
  EXPECT_FALSE(reads(version));
  EXPECT_FALSE(read_last_operation(run / "ranks"));  // a folder
  EXPECT_FALSE(read_last_operation(run / "nowhere"));

  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = good;
    for (int k = 0; k < 8; ++k) damaged[random() % sizeof(RankRecord)] = static_cast<char>(random());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    if (const auto record = read_last_operation(path)) {
      EXPECT_LT(record->operation.size(), 128u);
      name_of(record->state);
      name_of(record->reason);
      is_alive(*record);
    }
  }
}

TEST_F(LastOperationTest, AFolderThatCannotBeMadeIsASystemErrorThatNamesIt) {
  std::ofstream(run / "ranks") << "in the way";
  try {
    LastOperationFile file(run, 0, 1, 1);
    FAIL();
  } catch (const SystemError& error) {
    EXPECT_NE(std::string(error.what()).find("ranks"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace weft
