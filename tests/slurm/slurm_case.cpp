// Calls of cluster.sh and of Slurm's own commands.
#include "tests/slurm/slurm_case.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "weft/error.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kPoll{50};

/// The value of `key` in "Key=value Other=value …".
std::string value_of(const std::string& text, const std::string& key) {
  const std::size_t at = (" " + text).find(" " + key + "=");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + key.size() + 1;
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

fs::path new_folder() {
  char pattern[] = "/tmp/weft-slurm-XXXXXX";  // short, whatever TMPDIR is: sockets are made below it
  if (::mkdtemp(pattern) == nullptr) throw SystemError::from_errno("cannot make a folder in /tmp", errno);
  return pattern;
}

}  // namespace

SlurmCluster::SlurmCluster() : path_(new_folder()) {
  const Ended ended = testing::run(
      {WEFT_SLURM_CLUSTER, "up", "-n", "3", "-f", path_.string(), "-o", std::to_string(::getpid())}, "/", 60);
  if (ended.code != 0) throw SystemError("the Slurm cluster does not start: " + ended.str());
  fs::create_directories(shared());
}

SlurmCluster::~SlurmCluster() { call({"down"}, "/", 30); }

std::string SlurmCluster::lacking() {
  const Ended ended = testing::run({WEFT_SLURM_CLUSTER, "check"}, "/", 30);
  if (ended.code == 0) return "";
  return ended.code == 77 ? ended.out : ended.str();
}

Ended SlurmCluster::call(std::vector<std::string> arguments, const fs::path& folder, double seconds) const {
  arguments.insert(arguments.begin(), WEFT_SLURM_CLUSTER);
  arguments.insert(arguments.begin() + 2, {"-f", path_.string()});
  return testing::run(arguments, folder, seconds);
}

Ended SlurmCluster::run(const std::vector<std::string>& command, const fs::path& folder, double seconds) const {
  std::vector<std::string> arguments{"run"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return call(arguments, folder, seconds);
}

Ended SlurmCluster::run_on(const std::string& node, const std::vector<std::string>& command) const {
  std::vector<std::string> arguments{"run", "-w", node};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return call(arguments, "/", 30);
}

void SlurmCluster::cut(const std::string& node) const {
  const Ended ended = call({"cut", "-w", node}, "/", 30);
  if (ended.code != 0) throw std::runtime_error("cannot cut the power of " + node + ": " + ended.str());
}

std::string SlurmCluster::logs() const { return call({"logs"}, "/", 30).out; }

std::unique_ptr<SlurmCluster> SlurmCase::cluster_;

void SlurmCase::SetUpTestSuite() {
  if (!SlurmCluster::lacking().empty()) return;  // each test says so
  cluster_ = std::make_unique<SlurmCluster>();
  ::setenv("TMPDIR", cluster_->shared().c_str(), 1);
}

void SlurmCase::TearDownTestSuite() {
  ::unsetenv("TMPDIR");
  cluster_.reset();
}

void SlurmCase::SetUp() {
  if (!cluster_) GTEST_SKIP() << SlurmCluster::lacking();
  TrainingCase::SetUp();
  write_site();
}

void SlurmCase::TearDown() {
  if (!cluster_) return;
  if (HasFailure()) std::printf("%s", cluster().logs().c_str());
  cluster().run({"scancel", "--user=root"}, "/");
}

std::vector<std::string> SlurmCase::on_two_nodes(int ranks_per_node, const std::vector<std::string>& more) {
  std::vector<std::string> options{"--set", "resources.nodes=2", "--set",
                                   fmt::format("resources.ranks_per_node={}", ranks_per_node)};
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

void SlurmCase::write_site(const std::string& more) const {
  std::ofstream(folder() / "site.yaml") << "name: namespaces\nscheduler: slurm\n"
                                           "node: {cores_per_socket: 2, memory: 4 GiB}\n"
                                           "partitions: [{name: batch, nodes: 3, max_time: \"01:00:00\"}]\n"
                                           "partition: batch\n"
                                        << more;
}

Ended SlurmCase::submit(const std::vector<std::string>& options) const {
  auto command = weft({"submit", "job.yaml", "--site", "site.yaml", "--json"});
  command.insert(command.end(), options.begin(), options.end());
  return cluster().run(command, folder());
}

std::string SlurmCase::submitted(const std::vector<std::string>& options) const {
  const Ended ended = submit(options);
  const auto said = nlohmann::json::parse(ended.out, nullptr, false);
  if (ended.code != 0 || !said.is_object() || !said.value("submitted", false))
    throw std::runtime_error("the job was not taken: " + ended.str());
  return said.value("job", "");
}

SlurmJob SlurmCase::job(const std::string& number) const {
  const Ended ended = cluster().run({"scontrol", "show", "job", "--oneliner", number}, "/");
  if (ended.code != 0) throw std::runtime_error("scontrol show job: " + ended.str());
  SlurmJob job{value_of(ended.out, "JobState"), value_of(ended.out, "ExitCode"), 0, ended.out};
  job.restarts = std::atoi(value_of(ended.out, "Restarts").c_str());
  return job;
}

bool SlurmCase::within(double seconds, const std::function<bool()>& holds) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

SlurmJob SlurmCase::wait_for_end(const std::string& number, double seconds) const {
  SlurmJob now;
  if (within(seconds, [&] { return (now = job(number)).ended(); })) return now;
  throw std::runtime_error(fmt::format("waited {} s for job {} to end:\n{}", seconds, number, now.str));
}

LastOperation SlurmCase::wait_for_step(const std::string& name, const std::string& number, int rank,
                                       std::int64_t step) const {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(kLimit);
  auto asked = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < limit) {
    const auto record = read_last_operation(rank_record_path(run_folder(name), rank));
    if (record && !record->ended() && record->step >= step) return *record;
    if (std::chrono::steady_clock::now() > asked + std::chrono::seconds(1)) {
      asked = std::chrono::steady_clock::now();
      if (job(number).ended()) break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  throw std::runtime_error(fmt::format("waited for rank {} to come to step {} of {}:\n{}{}", rank, step, name,
                                       job(number).str, output(name, number)));
}

std::string SlurmCase::output(const std::string& name, const std::string& number) const {
  std::ifstream stream(run_folder(name) / fmt::format("slurm-{}.out", number));
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> SlurmCase::hosts(const std::string& name) const {
  std::vector<std::string> hosts;
  for (const LastOperation& record : read_rank_records(run_folder(name)).found) hosts.push_back(record.host);
  return hosts;
}

}  // namespace weft::testing
