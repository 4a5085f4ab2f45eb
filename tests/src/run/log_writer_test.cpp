// log.jsonl: valid JSON always, each step once.
#include "src/run/log_writer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/faulty_file_system.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

LogRecord record_at(std::int64_t step, bool eval = false) {
  LogRecord record;
  record.step = step;
  record.epoch = 0.5;
  record.eval = eval;
  record.loss = 0.25;
  return record;
}

class Log : public ::testing::Test {
 protected:
  std::string text() { return read_whole_file(files, path); }
  /// The steps of all lines; evaluation lines are negative.
  std::vector<std::int64_t> steps() {
    std::vector<std::int64_t> found;
    std::istringstream lines(text());
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      found.push_back(json["step"].get<std::int64_t>() * (json.contains("eval") ? -1 : 1));
    }
    return found;
  }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
  std::filesystem::path path = folder.path() / "log.jsonl";
};

TEST(LogLine, HasTheFieldsOfTheContractInOrder) {
  LogRecord record = record_at(20);
  record.lr = 1e-5;
  record.samples_per_s = 9120;
  record.step_ms = 14;
  record.metrics = {{"accuracy", 0.875}};
  EXPECT_EQ(to_json(record),
            R"({"step":20,"epoch":0.5,"loss":0.25,"lr":1e-05,"samples_per_s":9120.0,"step_ms":14.0,"accuracy":0.875})");
}

TEST(LogLine, SaysWhatIsAnEvaluation) {
  EXPECT_EQ(to_json(record_at(3, true)), R"({"step":3,"epoch":0.5,"eval":true,"loss":0.25})");
}

TEST(LogLine, NumbersThatJsonLacksAreNullAndNamed) {
  LogRecord record = record_at(1);
  record.loss = NAN;
  record.metrics = {{"perplexity", -INFINITY}};
  EXPECT_EQ(to_json(record),
            R"({"step":1,"epoch":0.5,"loss":null,"perplexity":null,"nonfinite":{"loss":"nan","perplexity":"-inf"}})");
}

TEST(LogLine, NumbersReadBackExactly) {
  LogRecord record = record_at(1);
  record.loss = 0.1 + 0.2;
  EXPECT_EQ(nlohmann::json::parse(to_json(record))["loss"].get<double>(), 0.1 + 0.2);
}

TEST(LogLine, ANameThatIsNoTextStaysValidJson) {
  LogRecord record = record_at(1);
  record.metrics = {{"a\xff\"\n", 1}};
  EXPECT_TRUE(nlohmann::json::accept(to_json(record)));
}

TEST_F(Log, ANewLogReplacesAnOldOne) {
  LogWriter(files, path, 0).write(record_at(1));
  LogWriter(files, path, 0).write(record_at(1));
  EXPECT_EQ(steps(), std::vector<std::int64_t>{1});
}

TEST_F(Log, ResumingCutsLaterStepsSoThatEachIsThereOnce) {
  {
    LogWriter log(files, path, 0);
    for (const std::int64_t step : {10, 20, 30, 40}) {
      log.write(record_at(step));
      if (step % 20 == 0) log.write(record_at(step, true));
    }
  }
  LogWriter log(files, path, 20);
  log.write(record_at(30));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{10, 20, -20, 30}));
}

TEST_F(Log, ALineThatAKillCutShortIsDropped) {
  LogWriter(files, path, 0).write(record_at(10));
  write_whole_file(files, path, text() + R"({"step":20,"epo)");
  LogWriter(files, path, 50).write(record_at(60));
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{10, 60}));
}

TEST_F(Log, WhatIsNoLogLineEndsTheLog) {
  LogWriter(files, path, 0).write(record_at(10));
  for (const char* junk : {"\n", "[1]\n", "{\"step\":\"x\"}\n", "\xff garbage\n", "{}\n"}) {
    write_whole_file(files, path,
                     R"({"step":10})"
                     "\n" +
                         std::string(junk) +
                         R"({"step":20})"
                         "\n");
    LogWriter(files, path, 50).write(record_at(60));
    EXPECT_EQ(steps(), (std::vector<std::int64_t>{10, 60})) << junk;
  }
}

TEST_F(Log, ALongLogIsReadInBlocks) {
  {
    LogWriter log(files, path, 0);
    for (std::int64_t step = 1; step <= 60000; ++step) log.write(record_at(step));
  }
  ASSERT_GT(std::filesystem::file_size(path), 2u << 20);
  LogWriter log(files, path, 59998);
  log.write(record_at(59999));
  const auto found = steps();
  ASSERT_EQ(found.size(), 59999u);
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], static_cast<std::int64_t>(i) + 1);
}

TEST_F(Log, AFullDiskIsASystemError) {
  testing::FaultyFileSystem faulty(testing::Fault{testing::Fault::Kind::none, 0, 0, 10});
  LogWriter log(faulty, path, 0);
  EXPECT_THROW(log.write(record_at(1)), SystemError);
}

}  // namespace
}  // namespace weft
