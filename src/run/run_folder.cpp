// Making, locking and moving aside run folders.
#include "src/run/run_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "weft/error.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 100;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

std::string this_process() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const char* job = std::getenv("SLURM_JOB_ID");
  return fmt::format("process {} on {}{}", ::getpid(), host.data(), job ? fmt::format(" (Slurm job {})", job) : "");
}

/// A run folder has one of the files that every run writes first, or nothing at all.
bool is_run_folder(const FileSystem& files, const fs::path& path) {
  return files.exists(path / ".lock") || files.exists(path / "job.yaml") || files.list(path).empty();
}

fs::path free_name(const FileSystem& files, const fs::path& path) {
  for (int i = 1;; ++i) {
    fs::path candidate = path;
    candidate += fmt::format(".{}", i);
    if (!files.exists(candidate)) return candidate;
  }
}

}  // namespace

/// An exclusive lock on a file that says who holds it; the system releases it however the process ends.
class RunFolder::Lock {
 public:
  Lock(const fs::path& folder, std::string& warning) : path_(folder / ".lock") {
    handle_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (handle_ < 0) throw SystemError::from_errno(fmt::format("cannot open '{}'", path_.string()), errno);
    if (::flock(handle_, LOCK_EX | LOCK_NB) != 0) {
      const int cause = errno;
      const std::string holder = read_holder();
      if (cause == EWOULDBLOCK) {
        ::close(handle_);
        throw UserError(fmt::format(
            "the run folder '{}' is in use by {}. Wait for that job, stop it, or give this one another name",
            folder.string(), holder));
      }
      warning = fmt::format("'{}' cannot be locked ({}): nothing prevents a second job from using this run folder",
                            folder.string(), std::generic_category().message(cause));
    }
    write_holder();
  }
  ~Lock() { ::close(handle_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::string read_holder() const {
    std::array<char, 400> text{};
    const ssize_t size = ::pread(handle_, text.data(), text.size(), 0);
    std::string holder(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    // It is shown on a terminal: printable ASCII only.
    std::erase_if(holder, [](char c) { return c < ' ' || c > '~'; });
    return holder.empty() ? "another process" : holder;
  }

  void write_holder() {
    const std::string holder = this_process() + "\n";
    if (::ftruncate(handle_, 0) != 0 ||
        ::pwrite(handle_, holder.data(), holder.size(), 0) != static_cast<ssize_t>(holder.size())) {
      const int cause = errno;
      ::close(handle_);
      throw SystemError::from_errno(fmt::format("cannot write '{}'", path_.string()), cause);
    }
  }

  fs::path path_;
  int handle_ = -1;
};

void check_run_name(const std::string& name) {
  const bool characters = std::all_of(name.begin(), name.end(),
                                      [](char c) { return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
  if (characters && !name.empty() && name.size() <= kLongestName && is_letter_or_digit(name.front())) return;
  throw UserError(fmt::format(
      "'{}' cannot name a run: use letters, digits, '.', '_' and '-', a letter or digit first, at most {} characters",
      name.substr(0, kLongestName), kLongestName));
}

RunFolder::RunFolder(FileSystem& files, fs::path path) : files_(&files), path_(std::move(path)) {}
RunFolder::RunFolder(RunFolder&&) noexcept = default;
RunFolder& RunFolder::operator=(RunFolder&&) noexcept = default;
RunFolder::~RunFolder() = default;

RunFolder RunFolder::open(FileSystem& files, const fs::path& runs, const std::string& name, RunStart start) {
  check_run_name(name);
  RunFolder run(files, runs / name);
  files.make_folders(run.path_);
  if (!is_run_folder(files, run.path_))
    throw UserError(fmt::format("'{}' exists and is not a run folder. Give the job another `name` or `runs` folder",
                                run.path_.string()));
  const bool used = files.exists(run.path_ / "job.yaml");
  run.lock_ = std::make_unique<Lock>(run.path_, run.warning_);
  if (start == RunStart::fresh && used) {
    run.moved_aside_ = free_name(files, run.path_);
    files.rename(run.path_, run.moved_aside_);
    files.make_folders(run.path_);
    run.lock_ = std::make_unique<Lock>(run.path_, run.warning_);
  }
  files.make_folders(run.checkpoints());
  files.make_folders(run.ranks());
  return run;
}

std::optional<bool> RunFolder::in_use(const fs::path& folder) {
  const int handle = ::open((folder / ".lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) return std::nullopt;
  const bool free = ::flock(handle, LOCK_SH | LOCK_NB) == 0;
  const int cause = errno;
  ::close(handle);
  if (free) return false;
  return cause == EWOULDBLOCK ? std::optional(true) : std::nullopt;
}

void RunFolder::write(const std::string& name, std::string_view text) { write_whole_file(*files_, path_ / name, text); }

}  // namespace weft
