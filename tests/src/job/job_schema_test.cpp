// The schema lists every key that a job can have, and each listed key can be set.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/src/job/minimal_job.hpp"

namespace weft::testing {
namespace {

nlohmann::json schema() { return nlohmann::json::parse(job_schema_json()); }

TEST(JobSchema, EveryKeyHasTypeAndMeaning) {
  for (const auto& key : schema()) {
    EXPECT_FALSE(key.at("type").get<std::string>().empty()) << key;
    EXPECT_FALSE(key.at("meaning").get<std::string>().empty()) << key;
  }
}

TEST(JobSchema, TheTextNamesEveryKeyOfTheJson) {
  const auto text = job_schema_text();
  for (const auto& key : schema())
    EXPECT_THAT(text, ::testing::HasSubstr("\n" + key.at("path").get<std::string>() + ": "));
}

// Any value at all: what matters is that the key is known, so the message is about the value, never about the key.
TEST(JobSchema, EveryListedKeyIsKnownToTheReader) {
  for (const auto& key : schema()) {
    const auto path = key.at("path").get<std::string>();
    if (path.find("[]") != std::string::npos) continue;
    EXPECT_THAT(error_of_line("", {path + "=[[[bad]]]"}), ::testing::Not(::testing::HasSubstr("there is no key")));
  }
}

// Together with the round trips, which compare whole JobSpecs, this shows that no field is out of a job file's reach:
// a job in which every field differs from its default is written with every key.
TEST(JobSchema, WrittenKeysAreListedKeys) {
  std::set<std::string> listed;
  for (const auto& key : schema()) listed.insert(key.at("path").get<std::string>());
  const auto job = parse("steps: 3\nparallel: {data: 2}\nresources: {partition: p, account: a, qos: q}");
  std::string section;
  std::istringstream lines(job_to_yaml(job));
  for (std::string line; std::getline(lines, line);) {
    const bool nested = line.starts_with("  ");
    const auto key = line.substr(nested ? 2 : 0, line.find(':') - (nested ? 2 : 0));
    if (!nested) section = key;
    EXPECT_TRUE(listed.count(nested ? section + "." + key : key)) << line;
  }
}

}  // namespace
}  // namespace weft::testing
