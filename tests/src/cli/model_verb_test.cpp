// weft model, inspect of a model, and verify, from the outside.
#include <gmock/gmock.h>

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

TEST(VerifyVerb, AFolderWithoutCasesAndAnUnknownTargetAreRefused) {
  const TemporaryFolder folder;
  EXPECT_EQ(run_weft({"verify", folder.path().string()}).code, 2);
  EXPECT_THAT(run_weft({"verify", folder.path().string(), "--target", "tpu"}).err,
              HasSubstr("there is no target 'tpu'"));
}

}  // namespace
}  // namespace weft::testing
