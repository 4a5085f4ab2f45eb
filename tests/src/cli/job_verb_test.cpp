// weft job, from the outside.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobVerb : public ::testing::Test {
 protected:
  std::string write_job(const std::string& more = "") {
    const auto path = folder_.path() / "job.yaml";
    std::ofstream(path) << "name: fashion\nmodel: lenet.onnx\ndata: {train: train.h5}\n" << more;
    return path.string();
  }
  TemporaryFolder folder_;
};

TEST_F(JobVerb, PrintsTheResolvedJobWhichPrintsTheSameAgain) {
  const auto first = run_weft({"job", write_job("optimizer: adamw\n"), "--set", "batch=64"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("batch: 64\n"));
  EXPECT_THAT(first.out, HasSubstr("weight_decay: 0.01\n"));
  const auto again = (folder_.path() / "again.yaml").string();
  std::ofstream(again) << first.out;
  EXPECT_EQ(run_weft({"job", again}).out, first.out);
}

TEST_F(JobVerb, AnErrorNamesFileLineAndColumnAndExitsWithTwo) {
  const auto path = write_job("epcohs: 3\n");
  const auto outcome = run_weft({"job", path});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr("weft: " + path + ":4:1: there is no key 'epcohs', did you mean 'epochs'?"));
}

TEST_F(JobVerb, AMissingFileExitsWithThree) {
  const auto outcome = run_weft({"job", "/nonexistent/job.yaml"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.err, "weft: cannot read /nonexistent/job.yaml: No such file or directory\n");
}

TEST_F(JobVerb, TheSchemaComesAsTextAndAsJson) {
  EXPECT_THAT(run_weft({"job", "--schema"}).out, HasSubstr("\noptimizer.lr: number of at least 0"));
  EXPECT_THAT(run_weft({"job", "--schema", "--json"}).out, HasSubstr("\"path\": \"optimizer.lr\""));
}

}  // namespace
}  // namespace weft::testing
