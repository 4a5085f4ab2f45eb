// The file layer: whole files or none, and errors that name file and cause.
#include "src/files/file_system.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/faulty_file_system.hpp"
#include "tests/support/message_of.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using testing::message_of;

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Fault;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder;
  PosixFileSystem files;
};

TEST_F(Files, AWholeFileReplacesTheFormerOne) {
  write_whole_file(files, folder.path() / "a", "one");
  write_whole_file(files, folder.path() / "a", "two, longer");
  EXPECT_EQ(read_whole_file(files, folder.path() / "a"), "two, longer");
  EXPECT_THAT(files.list(folder.path()), ElementsAre("a"));
}

TEST_F(Files, AMissingFileIsNamedWithItsCause) {
  EXPECT_THAT(message_of<SystemError>([&] { files.open(folder.path() / "none", OpenMode::read); }),
              AllOf(HasSubstr("none"), HasSubstr("No such file")));
  EXPECT_TRUE(files.list(folder.path() / "none").empty());
}

TEST_F(Files, ReadingBeyondTheEndIsAnError) {
  write_whole_file(files, folder.path() / "a", "abc");
  std::vector<std::byte> bytes(4);
  EXPECT_THAT(message_of<SystemError>([&] { files.open(folder.path() / "a", OpenMode::read)->read_at(bytes, 0); }),
              HasSubstr("it ends at byte 3"));
}

TEST_F(Files, AFolderIsNotAFile) {
  try {
    read_whole_file(files, folder.path());
    FAIL() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("not a regular file"));
  }
}

TEST_F(Files, ALargerFileThanAllowedIsRefused) {
  write_whole_file(files, folder.path() / "a", "abc");
  EXPECT_THROW(read_whole_file(files, folder.path() / "a", 2), UserError);
}

TEST_F(Files, AFullDeviceIsNamed) {
  if (!files.exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const auto file = files.open("/dev/full", OpenMode::write);
  EXPECT_THAT(message_of<SystemError>([&] { file->write_at(std::vector<std::byte>(1), 0); }),
              AllOf(HasSubstr("/dev/full"), HasSubstr("No space left")));
}

TEST_F(Files, AWholeFileSurvivesACrashAtEveryCall) {
  for (std::int64_t call = 0;; ++call) {
    write_whole_file(files, folder.path() / "a", "old");
    FaultyFileSystem faulty(Fault{Fault::Kind::crash, call, 0, {}});
    try {
      write_whole_file(faulty, folder.path() / "a", "new");
      EXPECT_EQ(call, 4) << "open, write, sync, rename";
      return;
    } catch (const testing::Crash&) {
    }
    EXPECT_EQ(read_whole_file(files, folder.path() / "a"), "old") << "crash at call " << call;
  }
}

TEST_F(Files, AFailedWriteLeavesTheFormerFileAndNothingElse) {
  for (std::int64_t call = 0; call < 4; ++call) {
    write_whole_file(files, folder.path() / "a", "old");
    FaultyFileSystem faulty(Fault{Fault::Kind::error, call, EIO, {}});
    EXPECT_THROW(write_whole_file(faulty, folder.path() / "a", "new"), SystemError);
    EXPECT_EQ(read_whole_file(files, folder.path() / "a"), "old");
    EXPECT_THAT(files.list(folder.path()), ElementsAre("a"));
  }
}

}  // namespace
}  // namespace weft
