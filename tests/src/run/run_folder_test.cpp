// Run folders: made, resumed, moved aside, never shared, and clear about what is wrong.
#include "src/run/run_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/support/faulty_file_system.hpp"
#include "tests/support/message_of.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Runs : public ::testing::Test {
 protected:
  RunFolder open(const std::string& name, RunStart start = RunStart::resume) {
    return RunFolder::open(files, folder.path() / "runs", name, start);
  }
  fs::path runs(const std::string& name) const { return folder.path() / "runs" / name; }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
};

TEST_F(Runs, ANewFolderHasItsParts) {
  RunFolder run = open("fashion");
  run.write_job("name: fashion\n");
  run.write_plan("{}");
  EXPECT_EQ(run.path(), runs("fashion"));
  EXPECT_TRUE(fs::is_directory(run.checkpoints()));
  EXPECT_TRUE(fs::is_directory(run.ranks()));
  EXPECT_EQ(read_whole_file(files, run.path() / "job.yaml"), "name: fashion\n");
  EXPECT_TRUE(run.moved_aside().empty());
  EXPECT_EQ(run.warning(), "");
}

TEST_F(Runs, ResumingKeepsWhatIsThereAndHowItEnded) {
  {
    RunFolder run = open("a");
    run.write_job("x");
    write_whole_file(files, run.checkpoints() / "step-1.h5", "c");
    run.write_exit("{}");
  }
  const RunFolder run = open("a");
  EXPECT_TRUE(fs::exists(run.checkpoints() / "step-1.h5"));
  EXPECT_TRUE(fs::exists(run.path() / "exit.json")) << "the next start tells its user, and then removes it";
}

TEST_F(Runs, StartingAfreshMovesOlderRunsAside) {
  for (const char* job : {"first", "second", "third"}) {
    RunFolder run = open("a", RunStart::fresh);
    run.write_job(job);
  }
  EXPECT_EQ(read_whole_file(files, runs("a") / "job.yaml"), "third");
  EXPECT_EQ(read_whole_file(files, runs("a.1") / "job.yaml"), "first");
  EXPECT_EQ(read_whole_file(files, runs("a.2") / "job.yaml"), "second");
  EXPECT_EQ(open("a", RunStart::fresh).moved_aside(), runs("a.3"));
}

TEST_F(Runs, TwoJobsDoNotShareAFolder) {
  const RunFolder run = open("a");
  for (const RunStart start : {RunStart::resume, RunStart::fresh})
    EXPECT_THAT(message_of<UserError>([&] { open("a", start); }),
                AllOf(HasSubstr("in use by process " + std::to_string(::getpid())), HasSubstr("another name")));
}

TEST_F(Runs, TheHolderOfAFolderIsNamedWithItsSlurmJob) {
  ::setenv("SLURM_JOB_ID", "4711", 1);
  const RunFolder run = open("a");
  ::unsetenv("SLURM_JOB_ID");
  EXPECT_THAT(message_of<UserError>([&] { open("a"); }), HasSubstr("(Slurm job 4711). Wait for that job"));
}

TEST_F(Runs, WhetherAJobHoldsAFolderIsFoundOutWithoutHoldingIt) {
  EXPECT_EQ(RunFolder::in_use(runs("a")), std::nullopt) << "there is none";
  {
    const RunFolder run = open("a");
    EXPECT_EQ(RunFolder::in_use(runs("a")), true);
  }
  EXPECT_EQ(RunFolder::in_use(runs("a")), false);
  EXPECT_NO_THROW(open("a"));
}

TEST_F(Runs, AFolderIsFreeAgainWhenItsJobEnds) {
  { const RunFolder run = open("a"); }
  EXPECT_NO_THROW(open("a"));
}

TEST_F(Runs, AMovedObjectStillHoldsTheLock) {
  RunFolder first = open("a");
  const RunFolder second = std::move(first);
  EXPECT_THROW(open("a"), UserError);
}

TEST_F(Runs, AFolderOfSomethingElseIsNotTouched) {
  fs::create_directories(runs("data"));
  write_whole_file(files, runs("data") / "thesis.tex", "years of work");
  for (const RunStart start : {RunStart::resume, RunStart::fresh})
    EXPECT_THAT(message_of<UserError>([&] { open("data", start); }), HasSubstr("not a run folder"));
  EXPECT_EQ(files.list(runs("data")), std::vector<std::string>{"thesis.tex"});
}

TEST_F(Runs, NamesThatCouldEscapeTheFolderAreRefused) {
  for (const std::string& name : {std::string(), std::string(".."), std::string("a/b"), std::string("-rf"),
                                  std::string("a b"), std::string("a\0b", 3), std::string(101, 'a')})
    EXPECT_THROW(open(name), UserError) << name;
  EXPECT_NO_THROW(check_run_name("resnet18_v1.5-b"));
}

TEST_F(Runs, AFileInTheWayIsNamed) {
  write_whole_file(files, folder.path() / "runs", "a file");
  EXPECT_THAT(message_of<SystemError>([&] { open("a"); }), AllOf(HasSubstr("runs/a"), HasSubstr("Not a directory")));
}

TEST_F(Runs, AFullDiskIsNamed) {
  testing::FaultyFileSystem full(testing::Fault{testing::Fault::Kind::none, 0, 0, 3});
  RunFolder run = RunFolder::open(full, folder.path(), "a", RunStart::resume);
  EXPECT_THAT(message_of<SystemError>([&] { run.write_job("long text"); }),
              AllOf(HasSubstr("job.yaml"), HasSubstr("No space left")));
  EXPECT_FALSE(fs::exists(run.path() / "job.yaml"));
}

/// A small file system of its own; needs the right to mount.
class Mount {
 public:
  explicit Mount(const fs::path& at) : at_(at) {
    fs::create_directories(at_);
    mounted = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~Mount() {
    if (mounted) ::umount2(at_.c_str(), MNT_DETACH);
  }
  void make_read_only() { ::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr); }
  bool mounted = false;

 private:
  fs::path at_;
};

TEST_F(Runs, AReadOnlyFolderIsNamed) {
  Mount mount(folder.path() / "runs");
  if (!mount.mounted) GTEST_SKIP() << "cannot mount a file system: " << std::strerror(errno);
  mount.make_read_only();
  EXPECT_THAT(message_of<SystemError>([&] { open("a"); }),
              AllOf(HasSubstr("runs/a"), HasSubstr("Read-only file system")));
}

}  // namespace
}  // namespace weft
