// TensorBoard records, byte by byte. (tests/src/run/read_events.py reads them with TensorBoard itself.)
#include "src/run/event_writer.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

TEST(Crc32c, GivesThePublishedValues) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(digits))), 0xe3069283u);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32)), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(EventRecords, TheVersionRecordIsTheKnownOne) {
  // Wall time 1.0: fixed64 0x3ff0000000000000; field 3 is the version.
  const std::string record = version_record(1.0);
  EXPECT_EQ(hex(record.substr(0, 8)), "1800000000000000");
  EXPECT_EQ(hex(record.substr(12, 24)), "09000000000000f03f1a0d627261696e2e4576656e743a32");
  EXPECT_EQ(record.size(), 8u + 4 + 24 + 4);
  // The length's checksum as every TensorBoard file of this version begins.
  EXPECT_EQ(hex(record.substr(8, 4)), "a37f4b22");
}

TEST(EventRecords, AScalarIsTagAndValueUnderItsStep) {
  const ScalarValue values[] = {{"a", 0.5}};
  const std::string record = scalars_record(1.0, 300, values);
  //  wall time                step 300   summary(10): value(8): tag "a", simple_value 0.5
  EXPECT_EQ(hex(record.substr(12, record.size() - 16)), "09000000000000f03f10ac022a0a0a080a0161150000003f");
}

TEST(EventFiles, ASecondWriterInTheSameSecondMakesItsOwnFile) {
  const testing::TemporaryFolder folder;
  PosixFileSystem files;
  const EventWriter first(files, folder.path(), 0), second(files, folder.path(), 7);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(files.list(folder.path()).size(), 2u);
}

}  // namespace
}  // namespace weft
