// posix_spawn, files for the output, and /proc to find what was left behind.
#include "tests/faults/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/patience.hpp"
#include "tests/support/sanitizer_report.hpp"
#include "weft/error.hpp"

extern char** environ;  // NOLINT: POSIX asks for this declaration

namespace weft::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{5};

std::string content(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void open(int descriptor, const fs::path& path, int flags) {
    posix_spawn_file_actions_addopen(&actions_, descriptor, path.c_str(), flags, 0600);
  }
  void enter(const fs::path& folder) { posix_spawn_file_actions_addchdir_np(&actions_, folder.c_str()); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

bool alive(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text, '\0');
  const std::size_t end = text.rfind(')');
  return end != std::string::npos && end + 2 < text.size() && text[end + 2] != 'Z' && text[end + 2] != 'X';
}

std::string seconds_text(double seconds) { return fmt::format("{:.1f} s", seconds); }

}  // namespace

std::string Ended::str() const {
  return fmt::format("{} after {}\n--- stdout\n{}--- stderr\n{}---\n",
                     timed_out ? "killed by the test" : fmt::format("code {}", code), seconds_text(seconds), out, err);
}

Process::Process(std::vector<std::string> command, const fs::path& folder, const std::vector<std::string>& environment)
    : start_(Clock::now()) {
  static std::atomic<int> count{0};
  const std::string name = fmt::format("{}-{}", ::getpid(), ++count);
  mark_ = "WEFT_TEST_PROCESS=" + name;
  out_ = fs::temp_directory_path() / fmt::format("weft-process-{}.out", name);
  err_ = fs::temp_directory_path() / fmt::format("weft-process-{}.err", name);

  FileActions actions;
  actions.enter(folder);
  actions.open(0, "/dev/null", O_RDONLY);
  actions.open(1, out_, O_WRONLY | O_CREAT | O_TRUNC);
  actions.open(2, err_, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // signals to the test's own group stay away from it

  std::vector<std::string> variables(environment);
  variables.push_back(mark_);
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  std::vector<char*> arguments = pointers(command), added = pointers(variables);
  const int code = posix_spawnp(&pid_, arguments[0], actions.get(), &attributes, arguments.data(), added.data());
  posix_spawnattr_destroy(&attributes);
  if (code != 0) throw SystemError::from_errno("cannot start " + command[0], code);
}

Process::~Process() {
  kill_all();
  if (!ended_) waitpid(pid_, &status_, 0);
  std::error_code ignored;
  fs::remove(out_, ignored);
  fs::remove(err_, ignored);
}

void Process::signal(int number) const { ::kill(pid_, number); }

bool Process::running() {
  if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

Ended Process::wait(double seconds) {
  const auto limit = Clock::now() + std::chrono::duration<double>(seconds);
  Ended result;
  while (running()) {
    if (Clock::now() > limit) {
      result.timed_out = true;
      kill_all();
      waitpid(pid_, &status_, 0);
      ended_ = true;
      break;
    }
    std::this_thread::sleep_for(kPoll);
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  result.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  result.out = content(out_);
  result.err = content(err_);
  if (holds_sanitizer_report(result.err)) ADD_FAILURE() << result.str();
  return result;
}

std::string Process::err() const { return content(err_); }

std::vector<pid_t> Process::left() const {
  std::vector<pid_t> found;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string variables = content(it->path() / "environ");
    const auto at = variables.find(mark_);
    // The mark of process 12 begins that of process 120.
    if (at == std::string::npos || (at + mark_.size() < variables.size() && variables[at + mark_.size()] != '\0'))
      continue;
    const pid_t pid = std::stoi(name);
    if (alive(pid)) found.push_back(pid);
  }
  return found;
}

bool Process::gone_within(double seconds) const {
  const auto limit = Clock::now() + std::chrono::duration<double>(seconds);
  while (!left().empty()) {
    if (Clock::now() > limit) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

void Process::kill_all() const {
  if (!ended_) ::kill(pid_, SIGKILL);
  for (const pid_t pid : left()) ::kill(pid, SIGKILL);
}

Ended run(const std::vector<std::string>& command, const fs::path& folder, double seconds,
          const std::vector<std::string>& environment) {
  Process process(command, folder, environment);
  Ended ended = process.wait(seconds);
  if (!process.gone_within(10 * kPatience)) ended.err += "\n(test) processes were left behind\n";
  return ended;
}

}  // namespace weft::testing
