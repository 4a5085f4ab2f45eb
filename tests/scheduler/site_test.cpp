// Site files: what is read, and what is refused where.
#include "scheduler/site.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;

Site parse(const std::string& text) { return parse_site(text, "s.yaml", "dir"); }

std::string site_error(const std::string& text) {
  try {
    (void)parse(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

const std::string kMinimal = "name: here\nnode: {sockets: 2, cores_per_socket: 4}\n";

TEST(Site, ReadsEveryKey) {
  const auto site = parse(
      "name: big\nscheduler: slurm\n"
      "node: {sockets: 2, cores_per_socket: 32, numa_per_socket: 4, memory: 1.5 GiB}\n"
      "partitions: [{name: batch, nodes: 8, max_nodes_per_job: 4, max_time: \"2-00:00:00\"}]\n"
      "partition: batch\naccount: acc\nqos: high\nmpi_plugin: pmix_v4\nmodules: [gcc/12, openmpi/4.1-ucx]\n"
      "environment: {OMP_WAIT_POLICY: active, A: \"x y'z $(w)\"}\nsignal_seconds: 60\nrequeue: false\n"
      "max_restarts: 3\ncalibration: c.json\n");
  EXPECT_EQ(site.name, "big");
  EXPECT_EQ(site.scheduler, "slurm");
  EXPECT_EQ(site.node.cores(), 64);
  EXPECT_EQ(site.node.memory_bytes, 3LL << 29);
  ASSERT_EQ(site.partitions.size(), 1u);
  EXPECT_EQ(site.find_partition("batch")->max_nodes_per_job, 4);
  EXPECT_EQ(site.find_partition("none"), nullptr);
  EXPECT_EQ(site.mpi_plugin, "pmix_v4");
  EXPECT_EQ(site.modules, (std::vector<std::string>{"gcc/12", "openmpi/4.1-ucx"}));
  EXPECT_EQ(site.environment.at("A"), "x y'z $(w)");
  EXPECT_EQ(site.signal_seconds, 60);
  EXPECT_FALSE(site.requeue);
  EXPECT_EQ(site.max_restarts, 3);
  EXPECT_EQ(calibration_path(site), "dir/c.json");
}

TEST(Site, IsReadBackAsItWasWritten) {
  auto site = parse(kMinimal);
  EXPECT_EQ(parse(site_to_yaml(site)), site);
  site.scheduler = "slurm";
  site.partitions = {{"a", 3, 2, "01:00:00"}, {"b", 1, 0, "1-00:00:00"}};
  site.environment = {{"A", "1"}};
  site.modules = {"x/1"};
  site.node.memory_bytes = 5LL << 30;
  EXPECT_EQ(parse(site_to_yaml(site)), site);
}

TEST(Site, NamesItsCalibrationFileAfterItself) {
  EXPECT_EQ(calibration_path(parse(kMinimal)), "dir/here.calibration.json");
}

TEST(Site, RefusesUnknownKeysWithPlaceAndNearest) {
  EXPECT_THAT(site_error(kMinimal + "modulse: []\n"), HasSubstr("s.yaml:3:1"));
  EXPECT_THAT(site_error(kMinimal + "modulse: []\n"), HasSubstr("did you mean 'modules'?"));
  EXPECT_THAT(site_error("name: x\nnode: {cores: 4}\n"), HasSubstr("s.yaml:2:8"));
}

TEST(Site, RefusesNamesThatCouldLeaveAScriptLine) {
  for (const char* bad : {"\"a\\nb\"", "\"a b\"", "$(touch x)", "\"`x`\"", "\"a;b\"", "\"a'b\"", "\"-p\"", "a/b"}) {
    EXPECT_THAT(site_error(kMinimal + "account: " + bad + "\n"), HasSubstr("s.yaml:3:10")) << bad;
    EXPECT_THAT(site_error(kMinimal + "mpi_plugin: " + bad + "\n"), HasSubstr("s.yaml:3")) << bad;
    EXPECT_THAT(site_error("name: " + std::string(bad) + "\nnode: {}\n"), HasSubstr("s.yaml:1")) << bad;
  }
  for (const char* bad : {"\"a\\nb\"", "\"a b\"", "$(x)", "\"-x\"", "\"a;b\"", "\"\"", "a&b"})
    EXPECT_THAT(site_error(kMinimal + "modules: [" + bad + "]\n"), HasSubstr("s.yaml:3:11")) << bad;
  for (const char* bad : {"1A", "A-B", "\"A B\"", "\"A=B\"", "\"\"", "\"$(x)\""})
    EXPECT_THAT(site_error(kMinimal + "environment: {" + bad + ": x}\n"), HasSubstr("s.yaml:3")) << bad;
  EXPECT_THAT(site_error(kMinimal + "environment: {A: \"x\\ny\"}\n"), HasSubstr("s.yaml:3"));
}

TEST(Site, RefusesNumbersOutsideTheirRange) {
  EXPECT_THAT(site_error("name: x\nnode: {sockets: 0}\n"), HasSubstr("from 1 to 64"));
  EXPECT_THAT(site_error("name: x\nnode: {memory: 99999999999 TiB}\n"), HasSubstr("at most"));
  EXPECT_THAT(site_error("name: x\nnode: {memory: 64}\n"), HasSubstr("'64 GiB'"));
  EXPECT_THAT(site_error(kMinimal + "signal_seconds: 5\n"), HasSubstr("from 10 to 65535"));
  EXPECT_THAT(site_error(kMinimal + "partitions: [{name: a, max_time: 60}]\n"), HasSubstr("time limit"));
}

TEST(Site, RefusesPartsThatContradictEachOther) {
  const auto slurm = kMinimal + "scheduler: slurm\npartitions: [{name: batch, nodes: 2}]\n";
  EXPECT_THAT(site_error(slurm + "partition: bacth\n"), HasSubstr("did you mean 'batch'?"));
  EXPECT_THAT(site_error(kMinimal + "partitions: [{name: a}]\n"), HasSubstr("scheduler: slurm"));
  EXPECT_THAT(site_error(kMinimal + "scheduler: slurm\npartitions: [{name: a}, {name: a}]\n"), HasSubstr("twice"));
  EXPECT_THAT(site_error(kMinimal + "scheduler: slurm\npartitions: [{name: a, nodes: 2, max_nodes_per_job: 3}]\n"),
              HasSubstr("has 2"));
}

TEST(Site, RefusesWhatIsNoSiteFile) {
  EXPECT_THAT(site_error(""), HasSubstr("empty"));
  EXPECT_THAT(site_error("[1, 2]"), HasSubstr("a list"));
  EXPECT_THAT(site_error("node: {}"), HasSubstr("name"));
  EXPECT_THAT(site_error("a: &x 1\nb: *x\n"), HasSubstr("alias"));
  EXPECT_THROW((void)read_site("/nonexistent/site.yaml"), SystemError);
  EXPECT_THROW((void)read_site("/"), UserError);
}

TEST(Site, ExamplesAreSound) {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(WEFT_SITES)) {
    const auto site = read_site(file.path());
    EXPECT_EQ(site.name, file.path().stem());
    EXPECT_EQ(parse_site(site_to_yaml(site), "again", site.directory), site);
    ++count;
  }
  EXPECT_GE(count, 2);
}

TEST(Site, SchemaListsEveryKey) {
  for (const char* key : {"name", "node.memory", "partitions[].max_time", "environment", "max_restarts"})
    EXPECT_THAT(site_schema_text(), HasSubstr("\n" + std::string(key) + ": ")) << key;
}

}  // namespace
}  // namespace weft
