// fork, exec, and waiting with a deadline.
#include "src/launch/run_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMostOutput = 64 << 10;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw SystemError::from_errno("cannot make a pipe", errno);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

/// A child process and its group; killed and reaped when it is still there at the end.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (reaped_) return;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  /// Whether it is over; `code` is set then.
  bool over(int& code) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    reaped_ = true;
    code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
  }

 private:
  pid_t pid_;
  bool reaped_ = false;
};

// Between fork and exec only async-signal-safe calls: other threads may hold locks.
[[noreturn]] void become(char* const* arguments, int output, int null, int failure) {
  ::setpgid(0, 0);
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(arguments[0], arguments);
  const int cause = errno;
  [[maybe_unused]] const auto written = ::write(failure, &cause, sizeof cause);
  ::_exit(127);
}

/// Appends what is there within `patience`; false at the end of the stream.
bool read_some(int fd, int patience_ms, std::string& output) {
  pollfd waiting{fd, POLLIN, 0};
  if (::poll(&waiting, 1, patience_ms) <= 0) return true;
  std::array<char, 4096> chunk{};
  const auto got = ::read(fd, chunk.data(), chunk.size());
  if (got < 0) return errno == EINTR;
  if (output.size() < kMostOutput)
    output.append(chunk.data(), std::min(static_cast<std::size_t>(got), kMostOutput - output.size()));
  return got > 0;
}

}  // namespace

CommandResult run_command(const std::vector<std::string>& arguments, std::chrono::milliseconds limit) {
  const auto& program = arguments.at(0);
  std::vector<char*> words;
  for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  Pipe output, failure;
  const Descriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null.get() < 0) throw SystemError::from_errno("cannot open /dev/null", errno);
  const auto deadline = Clock::now() + limit;
  const pid_t pid = ::fork();
  if (pid < 0) throw SystemError::from_errno(fmt::format("cannot start {}", program), errno);
  if (pid == 0) become(words.data(), output.write.get(), null.get(), failure.write.get());
  Child child(pid);
  output.write.reset();
  failure.write.reset();
  // This pipe closes without a word when exec succeeds.
  if (int cause = 0; ::read(failure.read.get(), &cause, sizeof cause) == static_cast<ssize_t>(sizeof cause))
    throw SystemError::from_errno(fmt::format("cannot start {}", program), cause);

  CommandResult result;
  bool open = true;
  while (!child.over(result.code)) {
    if (Clock::now() >= deadline)
      throw SystemError(fmt::format("{} was not done within {} s and was stopped", program,
                                    static_cast<double>(limit.count()) / 1000));
    if (open)
      open = read_some(output.read.get(), 20, result.output);
    else
      ::poll(nullptr, 0, 10);
  }
  // What it wrote last; something that it left running may hold the pipe open, and is not waited for.
  for (std::size_t before = SIZE_MAX; open && before != result.output.size();) {
    before = result.output.size();
    open = read_some(output.read.get(), 0, result.output);
  }
  return result;
}

}  // namespace weft
