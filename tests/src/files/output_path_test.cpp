// A result must not cost its user another file.
#include "src/files/output_path.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/message_of.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;

class OutputPath : public ::testing::Test {
 protected:
  std::string file(const std::string& name) {
    std::ofstream(folder.path() / name) << "kept";
    return (folder.path() / name).string();
  }
  testing::TemporaryFolder folder;
};

TEST_F(OutputPath, AnAbsentFileAndAnOldOneAreTaken) {
  EXPECT_EQ(output_path((folder.path() / "new").string()), folder.path() / "new");
  EXPECT_EQ(output_path(file("old")), folder.path() / "old");
}

TEST_F(OutputPath, ALinkStaysALinkAndItsTargetIsWritten) {
  file("target");
  std::filesystem::create_symlink("target", folder.path() / "link");
  EXPECT_EQ(output_path((folder.path() / "link").string()), std::filesystem::canonical(folder.path() / "target"));
}

TEST_F(OutputPath, APipeDeviceOrFolderIsNotReplaced) {
  const std::string pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(testing::message_of([&] { output_path(pipe); }), HasSubstr("pipe"));
  EXPECT_THAT(testing::message_of([] { output_path("/dev/null"); }), HasSubstr("device"));
  EXPECT_THAT(testing::message_of([&] { output_path(folder.path().string()); }), HasSubstr("folder"));
}

TEST_F(OutputPath, WhatTheResultIsMadeFromIsNotReplacedUnderAnyName) {
  const std::string source = file("source");
  std::filesystem::create_symlink("source", folder.path() / "link");
  for (const char* name : {"source", "link"})
    EXPECT_THAT(testing::message_of([&] { output_path((folder.path() / name).string(), {source}); }),
                HasSubstr("made from"));
}

}  // namespace
}  // namespace weft
