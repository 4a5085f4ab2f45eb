// What the tests of faults share: a folder of their own, and child processes that come to a bad end.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

namespace weft::test {

class RunFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    run =
        std::filesystem::temp_directory_path() / (std::string("weft-") + info->name() + "-" + std::to_string(getpid()));
    std::filesystem::remove_all(run);
    std::filesystem::create_directories(run);
  }
  void TearDown() override { std::filesystem::remove_all(run); }

  std::filesystem::path run;
};

/// Runs `body` in a child; returns waitpid's status once it has ended. A body that returns ends with code 0, one that
/// crashes by its signal: handlers that a sanitizer installed, which would report and exit, are taken off.
inline int in_child(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(crash, SIG_DFL);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace weft::test
