// weft inspect, from the outside: every kind of file, sound, damaged and hostile.
#include <gmock/gmock.h>

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/faults/exit_report.hpp"
#include "src/faults/last_operation.hpp"
#include "src/faults/rank_records.hpp"
#include "src/files/file_system.hpp"
#include "src/run/event_writer.hpp"
#include "src/run/run_folder.hpp"
#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/plan.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class InspectVerb : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    const auto target = folder_.path() / name;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target, std::ios::binary) << bytes;
    return target.string();
  }
  static std::string bytes_of(const std::string& file) {
    std::ostringstream content;
    content << std::ifstream(file, std::ios::binary).rdbuf();
    return content.str();
  }
  static void expect_sound(const std::string& file, const std::vector<std::string>& words) {
    const auto outcome = run_weft({"inspect", file});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    for (const auto& word : words) EXPECT_THAT(outcome.out, HasSubstr(word));
    const auto json = nlohmann::json::parse(run_weft({"inspect", file, "--json"}).out);
    EXPECT_EQ(json.at("sound"), true);
  }
  static void expect_unsound(const std::string& file, const std::string& word, int code = 2) {
    const auto outcome = run_weft({"inspect", file});
    EXPECT_EQ(outcome.code, code) << outcome.out;
    EXPECT_THAT(outcome.err, HasSubstr(word));
    EXPECT_THAT(outcome.err, HasSubstr(file));
    if (code != 2) return;
    const auto json = nlohmann::json::parse(run_weft({"inspect", file, "--json"}).out);
    EXPECT_EQ(json.at("sound"), false);
    EXPECT_FALSE(json.at("problems").empty());
  }
  TemporaryFolder folder_;
};

TEST_F(InspectVerb, AModelListsItsInitializersWithTheVerdictOnEach) {
  ASSERT_EQ(run_weft({"model", "mlp", "-o", path("m.onnx"), "--set", "inputs=4", "--set", "hidden=3"}).code, 0);
  expect_sound(path("m.onnx"), {"ONNX model, sound", "parameter", "weight of"});
  const auto json = nlohmann::json::parse(run_weft({"inspect", path("m.onnx"), "--json"}).out);
  const auto& first = json.at("details").at("initializers").at(0);
  EXPECT_EQ(first.at("kind"), "parameter");
  EXPECT_THAT(first.at("reason").get<std::string>(), HasSubstr("weight of"));
  const auto bytes = bytes_of(path("m.onnx"));
  expect_unsound(write("cut.onnx", bytes.substr(0, bytes.size() / 2)), "cut.onnx");
  expect_unsound(write("empty.onnx", ""), "empty.onnx");
}

TEST_F(InspectVerb, AJobSaysWhichOfItsFilesAreMissing) {
  const auto job = write("job.yaml", "name: a\nmodel: m.onnx\ndata: {train: t.h5}\n");
  expect_sound(job, {"job, sound", "note: its model", "t.h5 is not there"});
  expect_unsound(write("bad.yaml", "name: a\nmodle: m.onnx\n"), "did you mean 'model'");
}

TEST_F(InspectVerb, AnExitReportSaysWhoWhereAndWhy) {
  write_exit_json(path("exit.json"), {ExitReason::killed, 3, 118, "all-reduce bucket 2", "killed by signal 9"});
  expect_sound(path("exit.json"), {"exit report, sound", "killed", "rank 3, step 118, in 'all-reduce bucket 2'"});
  expect_unsound(write("other.json", R"({"reason": "boredom"})"), "no known `reason`");
  expect_unsound(write("cut.json", R"({"reason": "kil)"), "or nearly");
}

TEST_F(InspectVerb, ATraceNamesItsLongestSpans) {
  const auto trace =
      write("trace.json",
            R"({"traceEvents": [{"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "rank 0", "ph": "X"}},
          {"name": "conv1", "ph": "X", "pid": 0, "tid": 0, "ts": 10.0, "dur": 2500, "args": {"step": 1}},
          {"name": "fc", "ph": "X", "pid": 1, "tid": 0, "ts": 20, "dur": 500}], "displayTimeUnit": "ms"})");
  expect_sound(trace, {"2 events of 2 ranks", "2.500 ms in 1 x conv1"});
  expect_sound(write("array.json", R"([{"name": "a", "ph": "X", "ts": 1, "dur": 1, "pid": 0}])"),
               {"1 events of 1 ranks"});
}

TEST_F(InspectVerb, AHostileTraceIsRefusedAndNothingOverflows) {
  expect_unsound(write("cut.json", R"({"traceEvents": [{"name": "a", "ph": "X")"), "no JSON at byte");
  expect_unsound(write("deep.json", "{\"traceEvents\": " + std::string(1'000'000, '[')), "nested more than 64 deep");
  expect_unsound(write("none.json", R"({"traceEvents": 3})"), "no array of trace events");
  expect_unsound(write("odd.json", R"({"traceEvents": [{"name": "a"}, {"ph": "X", "ts": 1}]})"), "2 events lack");
}

TEST_F(InspectVerb, ALogIsSoundUntilALineIsNot) {
  const std::string good =
      "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":2.25}\n{\"step\":2,\"eval\":true,\"loss\":3}\n";
  expect_sound(write("log.jsonl", good), {"3 lines, 1 of them evaluations, up to step 2", "loss 2.25"});
  expect_sound(write("cut.jsonl", good + "{\"step\":3,\"lo"), {"its last line is unfinished"});
  expect_unsound(write("bad.jsonl", good + "nonsense\n"), "line 4 is no JSON object");
  expect_unsound(write("back.jsonl", good + "{\"step\":1}\n"), "line 4 has an earlier step");
  expect_unsound(write("type.jsonl", "{\"step\":\"one\"}\n"), "line 1 has no step");
}

TEST_F(InspectVerb, APlanIsReadBackOrRefused) {
  Plan plan;
  plan.mesh = Mesh({{"data", 4}});
  plan.global_batch = 64;
  expect_sound(write("plan.json", plan.json()), {"plan, sound", "64 samples a step", "data=4"});
  expect_unsound(write("bad/plan.json", R"({"mesh": 7})"), "plan.json");
}

TEST_F(InspectVerb, AnEventFileIsCheckedRecordByRecord) {
  const std::vector<ScalarValue> values{{"train/loss", 0.5}};
  const auto good = version_record(1) + scalars_record(2, 1, values) + scalars_record(3, 2, values);
  const auto file = write("events.out.tfevents.1", good);
  expect_sound(file, {"3 records", "train/loss", "2 values, the last 0.5 at step 2"});
  expect_sound(write("cut.tfevents", good.substr(0, good.size() - 3)), {"2 records", "ends inside a record"});
  auto damaged = good;
  damaged[good.size() - 8] ^= 1;
  expect_unsound(write("bad.tfevents", damaged), "record 2 at byte");
  damaged = good;
  damaged[version_record(1).size() + 7] = 'x';  // the length of record 1
  expect_unsound(write("length.tfevents", damaged), "the length of record 1");
  expect_unsound(write("foreign.tfevents", "hello, this is something else"), "fails its checksum");
  expect_unsound(write("empty.tfevents", ""), "not TensorBoard's version");
}

TEST_F(InspectVerb, ARanksRecordTellsWhatItDidLast) {
  {
    LastOperationFile file(folder_.path(), 1, 4, 7);
    file.enter(118, 6, "all-reduce bucket 2", RankState::waiting);
    file.finish(RankState::failed, ExitReason::lost_peer, "rank 2 did not answer");
  }
  expect_sound(path("ranks/1"), {"rank 1 of 4", "failed 'all-reduce bucket 2' at step 118", "rank 2 did not answer"});
  const auto bytes = bytes_of(path("ranks/1"));
  expect_unsound(write("cut", bytes.substr(0, 100)), "damaged");
}

TEST_F(InspectVerb, ARunFolderIsInspectedFileByFile) {
  write("job.yaml", "name: a\nmodel: m.onnx\ndata: {train: t.h5}\n");
  write("log.jsonl", "{\"step\":1,\"loss\":2.5}\n");
  write("checkpoints/.step-3.h5.partial", "x");
  {
    LastOperationFile file(folder_.path(), 0, 2, 7);
    file.enter(5, 6, "conv1");
    file.finish(RankState::failed, ExitReason::user_error, "loss is nan");
  }
  expect_sound(folder_.path().string(),
               {"run folder, sound", "job.yaml: sound", "user_error after 'conv1' at step 5",
                "no exit.json; from the ranks' records: user_error", "an unfinished save", "no record of 1 ranks"});
  write("checkpoints/step-2.h5", "no checkpoint");
  write("trace.json", "{");
  const auto outcome = run_weft({"inspect", folder_.path().string()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, HasSubstr("run folder, NOT sound"));
  EXPECT_THAT(outcome.out, HasSubstr("step-2.h5            NOT sound"));
  EXPECT_THAT(outcome.out, HasSubstr("problem: trace.json"));
  EXPECT_THAT(outcome.err, HasSubstr("and 1 more"));
}

TEST_F(InspectVerb, AnEndedRunThatCouldNotSayWhyGetsItsExitReportFromTheRecords) {
  constexpr std::uint64_t kStart = 1'700'000'000'500'000'000;
  {
    LastOperationFile told(folder_.path(), 0, 2, kStart), killed(folder_.path(), 1, 2, kStart);
    told.note_terminate(15);
    killed.enter(118, 5, "conv1");
    std::fstream file(rank_record_path(folder_.path(), 1), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offsetof(RankRecord, host));
    file.write("elsewhere", 10);  // where nobody here can look
  }
  const std::string exit = path("exit.json");
  const auto later = run_weft({"inspect", exit, "--ended-since", "1700000001"});
  EXPECT_EQ(later.code, 2);
  EXPECT_THAT(later.err, HasSubstr("no rank of that start left a record"));
  EXPECT_FALSE(std::filesystem::exists(exit));

  const auto outcome = run_weft({"inspect", exit, "--ended-since", "1700000000"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("rank 1 (host elsewhere) was killed by signal 9 at step 118 in 'conv1'"));
  EXPECT_EQ(read_exit_json(exit)->rank, 1);
  // What is there stays.
  write("exit.json", R"({"reason": "completed"})");
  EXPECT_EQ(run_weft({"inspect", exit, "--ended-since", "1700000000"}).code, 0);
  EXPECT_EQ(read_exit_json(exit)->reason, ExitReason::completed);

  for (const char* bad : {"", "x", "-1", "1e9", "99999999999999999999"})
    EXPECT_EQ(run_weft({"inspect", exit, "--ended-since", bad}).code, 2) << bad;
  EXPECT_THAT(run_weft({"inspect", path("ranks/1"), "--ended-since", "1"}).err, HasSubstr("for a run folder"));
}

TEST_F(InspectVerb, ARunThatNobodyHoldsIsOverOnOtherHostsToo) {
  write("job.yaml", "name: a\nmodel: m.onnx\ndata: {train: t.h5}\n");
  {
    LastOperationFile killed(folder_.path(), 0, 1, 7);
    killed.enter(118, 5, "conv1");
    std::fstream file(rank_record_path(folder_.path(), 0), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offsetof(RankRecord, host));
    file.write("elsewhere", 10);
  }
  {
    PosixFileSystem files;
    const auto held = RunFolder::open(files, folder_.path().parent_path(), folder_.path().filename(), RunStart::resume);
    expect_sound(folder_.path().string(), {"no exit.json: it runs"});
  }
  expect_sound(folder_.path().string(), {"nobody holds the run folder", "killed: rank 0 (host elsewhere)"});
}

TEST_F(InspectVerb, WhatIsNoneOfTheseIsTold) {
  expect_unsound(folder_.path().string(), "no run's");
  expect_unsound(write("a.csv", "1,2\n"), "`weft data import` turns such files");
  expect_unsound(write("noise", "\x01\x02\x03"), "of no kind known here");
  expect_unsound(write("nothing", ""), "is empty");
  expect_unsound(write("a.h5", "not HDF5 at all"), "a.h5");
  expect_unsound(path("missing"), "No such file", 3);
  expect_unsound("/dev/null", "neither a regular file");
}

TEST_F(InspectVerb, WhatAFileSaysCannotSteerTheTerminal) {
  const auto file = write("exit.json", R"({"reason": "killed", "rank": 0, "message": "\u001b[2J\u0007gone"})");
  EXPECT_THAT(run_weft({"inspect", file}).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(run_weft({"inspect", file}).out, HasSubstr("?[2J?gone"));
  EXPECT_THAT(run_weft({"inspect", path("a\x1b[31mb")}).err, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace weft::testing
