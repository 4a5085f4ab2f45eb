// weft data and weft inspect, from the outside, on a small IDX file of known content.
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DataVerb : public ::testing::Test {
 protected:
  DataVerb() {
    // Three images of 2 by 2 and their labels, in the MNIST format: magic, extents, bytes.
    write("x-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02", 16) + "abcdefghijkl");
    write("x-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\x03\x02\x00\x01", 11));
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << bytes;
  }
  TemporaryFolder folder_;
};

TEST_F(DataVerb, ImportedImagesAreShownAndInspectedWithTheirShape) {
  const auto imported = run_weft({"data", "import", path("x-images-idx3-ubyte"), "-o", path("x.h5")});
  ASSERT_EQ(imported.code, 0) << imported.err;
  for (const std::vector<std::string>& verb : {std::vector<std::string>{"data", "show"}, {"inspect"}}) {
    auto arguments = verb;
    arguments.push_back(path("x.h5"));
    const auto shown = run_weft(arguments);
    EXPECT_EQ(shown.code, 0) << shown.err;
    EXPECT_THAT(shown.out, HasSubstr("images"));
    EXPECT_THAT(shown.out, HasSubstr("[3, 1, 2, 2]"));
  }
  EXPECT_THAT(run_weft({"data", "show", path("x.h5"), "--json"}).out, HasSubstr("\"images\""));
}

TEST_F(DataVerb, ADamagedDataFileIsNamedAndExitsWithTwo) {
  ASSERT_EQ(run_weft({"data", "import", path("x-images-idx3-ubyte"), "-o", path("x.h5")}).code, 0);
  std::ifstream in(path("x.h5"), std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  auto bytes = content.str();
  const auto at = bytes.find("abcdefghijkl");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'z';
  write("x.h5", bytes);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", path("x.h5")}, {"data", "show", path("x.h5")}}) {
    const auto outcome = run_weft(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("x.h5"));
    EXPECT_THAT(outcome.err, HasSubstr("images"));
  }
}

TEST_F(DataVerb, ShowMeasuresClassBalanceMeanAndSpread) {
  ASSERT_EQ(run_weft({"data", "import", path("x-images-idx3-ubyte"), "-o", path("x.h5")}).code, 0);
  const auto shown = run_weft({"data", "show", path("x.h5")}).out;
  // The bytes of "abcdefghijkl" are 97 … 108.
  EXPECT_THAT(shown, HasSubstr("mean: [102.5], std: [3.452]"));
  EXPECT_THAT(shown, HasSubstr("scaled by 1/255: mean: [0.402], std: [0.01354]"));
  EXPECT_THAT(shown, HasSubstr("3 labels, from 1 to 1 samples each: 0: 1, 1: 1, 2: 1"));
  EXPECT_THAT(shown, HasSubstr(", holds"));
  const auto quick = run_weft({"data", "show", path("x.h5"), "--quick"}).out;
  EXPECT_THAT(quick, HasSubstr("from 97 to 108"));
  EXPECT_THAT(quick, ::testing::Not(HasSubstr("holds")));
}

TEST_F(DataVerb, ATruncatedSourceIsRefusedAndLeavesNothing) {
  write("x-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02", 16) + "abc");
  const auto outcome = run_weft({"data", "import", path("x-images-idx3-ubyte"), "-o", path("x.h5")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path("x.h5")));
}

TEST_F(DataVerb, AMistypedSecondWordIsAnsweredWithTheNearest) {
  EXPECT_THAT(run_weft({"data", "imprt"}).err, HasSubstr("did you mean 'import'?"));
  EXPECT_EQ(run_weft({"data"}).code, 2);
  EXPECT_THAT(run_weft({"data", "import", "x"}).err, HasSubstr("--output F.h5 is missing"));
}

}  // namespace
}  // namespace weft::testing
