// fork, redirect into temporary files, exec, wait.
#include "tests/src/cli/run_weft.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "tests/support/sanitizer_report.hpp"

namespace weft::testing {
namespace {

using TemporaryFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

TemporaryFile temporary_file() {
  TemporaryFile file(std::tmpfile(), std::fclose);
  if (!file) throw std::runtime_error("run_weft: no temporary file");
  return file;
}

std::string content(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char block[4096];
  while (const auto count = std::fread(block, 1, sizeof block, file)) text.append(block, count);
  return text;
}

}  // namespace

Outcome run_program(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                    const std::string& folder) {
  const auto out = temporary_file();
  const auto err = temporary_file();
  std::vector<char*> argv;
  for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const pid_t child = ::fork();
  if (child == 0) {
    if (!folder.empty() && ::chdir(folder.c_str()) != 0) std::_Exit(126);
    for (const auto& entry : environment) ::putenv(const_cast<char*>(entry.c_str()));
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(::fileno(out.get()), 1);
    ::dup2(::fileno(err.get()), 2);
    ::execv(argv.front(), argv.data());
    std::_Exit(127);
  }
  if (child < 0) throw std::runtime_error("run_weft: fork failed");
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("run_weft: waitpid failed");
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(out.get()),
                  content(err.get())};
  if (holds_sanitizer_report(outcome.err)) ADD_FAILURE() << outcome.err;
  return outcome;
}

Outcome run_weft(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                 const std::string& folder) {
  std::vector<std::string> command{WEFT_BINARY};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, environment, folder);
}

}  // namespace weft::testing
