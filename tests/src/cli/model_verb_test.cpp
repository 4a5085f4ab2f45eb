// weft model, inspect of a model, and verify, from the outside.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;

TEST(ModelVerb, AWrittenModelIsInspectedWithItsParameters) {
  const TemporaryFolder folder;
  const auto path = (folder.path() / "lenet.onnx").string();
  const auto written = run_weft({"model", "lenet", "-o", path});
  ASSERT_EQ(written.code, 0) << written.err;
  const auto inspected = run_weft({"inspect", path});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("Conv"));
}

TEST(ModelVerb, AMistypedArchitectureOrSettingIsRefused) {
  const TemporaryFolder folder;
  const auto path = (folder.path() / "m.onnx").string();
  EXPECT_EQ(run_weft({"model", "lenett", "-o", path}).code, 2);
  EXPECT_THAT(run_weft({"model", "lenett", "-o", path}).err, HasSubstr("lenet"));
  EXPECT_EQ(run_weft({"model", "lenet", "-o", path, "--set", "no_such=1"}).code, 2);
  EXPECT_EQ(run_weft({"model", "lenet", "-o", path, "--set", "classes"}).code, 2);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ModelVerb, APipeIsNotReplacedByAModel) {
  const TemporaryFolder folder;
  const auto pipe = (folder.path() / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(run_weft({"model", "mlp", "-o", pipe}).code, 2);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST(VerifyVerb, AFolderWithoutCasesAndAnUnknownTargetAreRefused) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_weft({"verify", folder.path().string()}).code, 2);
  EXPECT_THAT(run_weft({"verify", folder.path().string(), "--target", "tpu"}).err, HasSubstr("tpu"));
}

// A case as ONNX's backend tests store them: x + x of three floats.
void write_case(const std::filesystem::path& folder, float expected) {
  std::filesystem::create_directories(folder / "test_data_set_0");
  const auto write = [&](const char* name, const std::string& bytes) {
    std::ofstream(folder / name, std::ios::binary) << bytes;
  };
  const auto field = [](int number, const std::string& bytes) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
  };
  const auto tensor = [&](std::vector<float> values) {
    return std::string("\x08\x03\x10\x01", 4) +
           field(9, std::string(reinterpret_cast<const char*>(values.data()), 4 * values.size()));
  };
  const auto port = [&](const char* name) {
    const auto shape = field(1, std::string("\x08\x03", 2));
    return field(1, name) + field(2, field(1, std::string("\x08\x01", 2) + field(2, shape)));
  };
  const auto node = field(1, "x") + field(1, "x") + field(2, "y") + field(4, "Add");
  const auto graph = field(1, node) + field(2, "g") + field(11, port("x")) + field(12, port("y"));
  write("model.onnx", std::string("\x08\x08", 2) + field(7, graph) + field(8, std::string("\x10\x0e", 2)));
  write("test_data_set_0/input_0.pb", tensor({1, 2, 3}));
  write("test_data_set_0/output_0.pb", tensor({2, 4, expected}));
}

TEST(VerifyVerb, CompilesForTheCpuByDefaultAndInterpretsOnTheHost) {
  const TemporaryFolder folder;
  write_case(folder.path() / "test_twice", 6);
  for (const std::vector<std::string>& target :
       {std::vector<std::string>{}, {"--target", "cpu"}, {"--target", "host"}}) {
    std::vector<std::string> arguments{"verify", folder.path().string()};
    arguments.insert(arguments.end(), target.begin(), target.end());
    const auto outcome = run_weft(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
    EXPECT_THAT(outcome.out, HasSubstr("pass        test_twice"));
    EXPECT_THAT(outcome.out, ::testing::EndsWith("1 passed, 0 failed, 0 unsupported\n"));
  }
}

TEST(VerifyVerb, ACaseThatFailsSaysWhereAndExitsWithTwo) {
  const TemporaryFolder folder;
  write_case(folder.path() / "test_wrong", 7);
  const auto outcome = run_weft({"verify", folder.path().string()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, HasSubstr("output 'y' element 2 is 6, expected 7"));
  EXPECT_THAT(run_weft({"verify", folder.path().string(), "--json"}).out, HasSubstr("\"failed\": 1"));
}

}  // namespace
}  // namespace weft::testing
