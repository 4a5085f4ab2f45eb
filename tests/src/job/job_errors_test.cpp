// Every wrong job is answered with file, line, column, key, what is allowed, and the nearest right word.
#include <gmock/gmock.h>

#include "tests/src/job/minimal_job.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Case {
  const char* line;   // the job's fourth line, and more
  const char* where;  // how the message starts
  const char* says;   // what it contains
};

class JobErrors : public ::testing::TestWithParam<Case> {};

TEST_P(JobErrors, NamePlaceAndRemedy) {
  const auto message = error_of_line(GetParam().line);
  EXPECT_THAT(message, StartsWith(GetParam().where));
  EXPECT_THAT(message, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    UnknownKeys, JobErrors,
    ::testing::Values(
        Case{"epcohs: 5", "job.yaml:4:1: there is no key 'epcohs'", "did you mean 'epochs'?"},
        Case{"optimizer: {nmae: sgd}", "job.yaml:4:13: optimizer: there is no key 'nmae' in optimizer", "'name'"},
        Case{"zzzzzzzz: 1", "job.yaml:4:1: there is no key 'zzzzzzzz'", "known here: name, model, data"},
        Case{"optimizer:\n  groups:\n    - {pattern: a, decay: 0}", "job.yaml:6:20: optimizer.groups[0]:", "no key"},
        Case{"batch_norm: {groups: 4}", "job.yaml:4:14: batch_norm:", "did you mean 'group'?"}));

INSTANTIATE_TEST_SUITE_P(
    WrongTypes, JobErrors,
    ::testing::Values(
        Case{"batch: many", "job.yaml:4:8: batch:", "expected a whole number from 1 to 1000000000, found 'many'"},
        Case{"batch: 12.5", "job.yaml:4:8: batch:", "found '12.5'"},
        Case{"batch: \"12\"", "job.yaml:4:8: batch:", "remove the quotes"},
        Case{"batch: [12]", "job.yaml:4:8: batch:", "found a list"},
        Case{"batch:", "job.yaml:4:", "no value; leave the key out for its default"},
        Case{"batch: ~", "job.yaml:4:8: batch:", "no value"},
        Case{"epochs: nan", "job.yaml:4:9: epochs:", "expected a number above 0"},
        Case{"epochs: .inf", "job.yaml:4:9: epochs:", "expected a number above 0"},
        Case{"epochs: 1e999", "job.yaml:4:9: epochs:", "expected a number above 0"},
        Case{"seed: 99999999999999999999", "job.yaml:4:7: seed:", "expected a whole number of at least 0"},
        Case{"seed: 0x10", "job.yaml:4:7: seed:", "expected a whole number"},
        Case{"deterministic: maybe", "job.yaml:4:16: deterministic:", "expected true or false"},
        Case{"deterministic: \"true\"", "job.yaml:4:16: deterministic:", "remove the quotes"},
        Case{"metrics: {accuracy: 1}", "job.yaml:4:10: metrics:", "expected a list"},
        Case{"optimizer: [sgd]", "job.yaml:4:12: optimizer:", "expected a map of keys (name, lr"},
        Case{"optimizer: {name: adam, betas: 0.9}", "job.yaml:4:32: optimizer.betas:", "[0.9, 0.999]"},
        Case{"optimizer: {groups: {pattern: a}}", "job.yaml:4:21: optimizer.groups:", "expected a list of maps"},
        Case{"optimizer: {groups: [{lr_scale: 2}]}", "job.yaml:4:22: optimizer.groups[0]:", "pattern' is missing"}));

INSTANTIATE_TEST_SUITE_P(
    WrongValues, JobErrors,
    ::testing::Values(
        Case{"batch: 0", "job.yaml:4:8: batch:", "from 1 to"},
        Case{"optimizer: {lr: -1}", "job.yaml:4:17: optimizer.lr:", "of at least 0"},
        Case{"optimizer: {name: adam, betas: [0.9, 1.5]}", "job.yaml:4:38: optimizer.betas[1]:", "from 0 to 1"},
        Case{"optimizer: sdg", "job.yaml:4:12: optimizer.name:", "did you mean 'sgd'?"},
        Case{"loss: cross_entrpy", "job.yaml:4:7: loss.name:", "did you mean 'cross_entropy'?"},
        Case{"metrics: [acuracy]", "job.yaml:4:11: metrics[0]:", "did you mean 'accuracy'?"},
        Case{"precision: fp16", "job.yaml:4:12: precision:", "one of: f32, bf16, f16"},
        Case{"device: gpu", "job.yaml:4:9: device:", "auto, cpu, cuda, opencl"},
        Case{"parallel: none", "job.yaml:4:11: parallel:", "expected a map of keys"},
        Case{"parallel: {zero: 4}", "job.yaml:4:18: parallel.zero:", "from 0 to 3"},
        Case{"parallel: {split: [a]}", "job.yaml:4:19: parallel.split:", "expected a map"},
        Case{"parallel: {split: {a: -1}}", "job.yaml:4:23: parallel.split.a:", "'none'"},
        Case{"parallel: {split: {a: {blocks: 3}}}", "job.yaml:4:23: parallel.split.a:", "names no dimension"},
        Case{"parallel: {split: {a: {size: 3}}}", "job.yaml:4:24: parallel.split.a:", "dimension and blocks"},
        Case{"checkpoint: {every: 5}", "job.yaml:4:21: checkpoint.every:", "'500 steps'"},
        Case{"checkpoint: {every: 5 parsecs}", "job.yaml:4:21: checkpoint.every:", "'30 minutes'"},
        Case{"checkpoint: {every: 1.5 steps}", "job.yaml:4:21: checkpoint.every:", "whole number"},
        Case{"checkpoint: {keep: 0}", "job.yaml:4:20: checkpoint.keep:", "from 1 to"},
        Case{"resources: {time: 2h}", "job.yaml:4:19: resources.time:", "HH:MM:SS"},
        Case{"resources: {time: \"00:00:00\"}", "job.yaml:4:19: resources.time:", "HH:MM:SS"},
        Case{"resources: {time: \"01:00:00;rm\"}", "job.yaml:4:19: resources.time:", "HH:MM:SS"},
        Case{"resources: {account: \"a b\"}", "job.yaml:4:22: resources.account:", "letters, digits"}));

INSTANTIATE_TEST_SUITE_P(
    KeysThatDisagree, JobErrors,
    ::testing::Values(
        Case{"optimizer: {name: adam, momentum: 0.9}", "job.yaml:4:25: optimizer:", "not of adam, which has: name, lr"},
        Case{"loss: {name: mse, label_smoothing: 0.1}", "job.yaml:4:19: loss:", "a key of cross_entropy, not of mse"},
        Case{"loss: {name: mse, output: l}", "job.yaml:4:27: loss.output:", "instead of loss.name"},
        Case{"loss: {output: l, delta: 2}", "job.yaml:4:19: loss:", "a key of huber, not of this form"},
        Case{"optimizer: {nesterov: true}", "job.yaml:4:23: optimizer.nesterov:", "needs a momentum"},
        Case{"schedule: step", "job.yaml:4:11: schedule.step_size:", "needs the number of steps"},
        Case{"batch: 8\nmicro_batch: 9", "job.yaml:5:14: micro_batch:", "more than the batch of 8"},
        Case{"batch: 8\nbatch_norm: {group: 3}",
             "job.yaml:5:21: batch_norm.group:", "does not divide the batch of 8"}));

TEST(Job, MissingKeysAreNamedWithTheirMeaning) {
  EXPECT_THAT(error_of("name: a\nmodel: m.onnx\n"), HasSubstr("the key 'data' is missing: what is trained on"));
  EXPECT_THAT(error_of("name: a\ndata: {train: t}\n"), HasSubstr("the key 'model' is missing"));
  EXPECT_THAT(error_of("name: a\nmodel: m\ndata: {eval: t}\n"), StartsWith("job.yaml:3:7: data: the key 'data.train'"));
}

TEST(Job, NamesThatWouldLeaveTheRunsFolderOrAScriptLineAreRefused) {
  const std::string rest = "model: m\ndata: {train: t}\n";
  for (const std::string name : {"../up", ".hidden", "-flag", "_x", "a/b", "a b", "\"a\\nb\"", "\"\"", "naïve", "$(id)",
                                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm"})
    EXPECT_THAT(error_of("name: " + name + "\n" + rest), StartsWith("job.yaml:1:7: ")) << name;
  for (const std::string name : {"a", "fashion-2.1_b", "0"}) EXPECT_EQ(error_of("name: " + name + "\n" + rest), "");
}

TEST(Job, AnErrorInAnOverrideNamesTheOptionInsteadOfALine) {
  EXPECT_THAT(error_of_line("", {"batch=x"}), StartsWith("--set batch=x: batch: expected a whole number"));
  EXPECT_THAT(error_of_line("", {"optimizer.momentun=1"}),
              StartsWith("--set optimizer.momentun=1: optimizer: there is no key 'momentun'"));
  EXPECT_THAT(error_of_line("", {"batch"}), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(error_of_line("", {"=3"}), HasSubstr("--set =3"));
  EXPECT_THAT(error_of_line("", {"a..b=3"}), HasSubstr("there is no key 'a'"));
  EXPECT_THAT(error_of_line("", {"batch=[1"}), HasSubstr("not valid YAML"));
}

TEST(Job, AFileThatCannotBeReadIsASystemErrorWithItsCause) {
  try {
    read_job("/nonexistent/job.yaml");
    FAIL() << "read a file that does not exist";
  } catch (const SystemError& e) {
    EXPECT_STREQ(e.what(), "cannot read /nonexistent/job.yaml: No such file or directory");
  }
  EXPECT_THROW(read_job("/"), UserError);
  EXPECT_THROW(read_job("/dev/zero"), UserError);
}

}  // namespace
}  // namespace weft::testing
