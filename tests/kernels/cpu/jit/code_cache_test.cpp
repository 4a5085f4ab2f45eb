// The cache of compiled kernels against damage, strangers, other writers, and a full disk.
#include "kernels/cpu/jit/code_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/support/temporary_folder.hpp"

namespace weft::cpu::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using weft::testing::TemporaryFolder;

/// A cache in a folder of its own, and what it warned of.
struct TestCache {
  explicit TestCache(const fs::path& path, std::int64_t limit = 1 << 20)
      : cache({path, limit, [this](const std::string& text) { warnings.push_back(text); }}) {}
  std::vector<std::string> warnings;
  CodeCache cache;
};

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST(CodeCacheFolder, IsTheOneThatTheEnvironmentNames) {
  std::map<std::string, std::string> variables;
  const auto root = [&] {
    return cache_root([&](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    });
  };
  const std::string own = "weft-" + std::to_string(::geteuid());
  EXPECT_EQ(root(), fs::path("/tmp") / own);
  variables["TMPDIR"] = "/scratch";
  EXPECT_EQ(root(), fs::path("/scratch") / own);
  variables["HOME"] = "/home/me";
  EXPECT_EQ(root(), "/home/me/.cache/weft");
  variables["XDG_CACHE_HOME"] = "not/absolute";
  EXPECT_EQ(root(), "/home/me/.cache/weft");
  variables["XDG_CACHE_HOME"] = "/cache";
  EXPECT_EQ(root(), "/cache/weft");
  variables["WEFT_CACHE"] = "";
  EXPECT_EQ(root(), "/cache/weft");
  variables["WEFT_CACHE"] = "kept";
  EXPECT_EQ(root(), fs::current_path() / "kept");
  variables["WEFT_CACHE"] = "off";
  EXPECT_EQ(root(), "");
}

TEST(CodeCache, GivesBackWhatWasStoredAlsoToTheNextProcess) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "not" / "there" / "yet";
  {
    TestCache first(path);
    EXPECT_EQ(first.cache.find("key"), std::nullopt);
    first.cache.store("key", "code");
    first.cache.store("other", std::string(100000, 'x'));
    first.cache.store("empty", "");
    first.cache.store("key", "newer code");
    EXPECT_EQ(first.cache.find("key"), "newer code");
  }
  TestCache second(path);
  EXPECT_EQ(second.cache.find("key"), "newer code");
  EXPECT_EQ(second.cache.find("other"), std::string(100000, 'x'));
  EXPECT_EQ(second.cache.find("empty"), "");
  EXPECT_EQ(second.cache.find("ke"), std::nullopt);
  EXPECT_THAT(second.warnings, ElementsAre());
}

TEST(CodeCache, KeepsNothingWithoutAFolder) {
  CodeCache cache({});
  cache.store("key", "code");
  EXPECT_EQ(cache.find("key"), std::nullopt);
}

TEST(CodeCache, TakesNoEntryThatWasCutOrChangedAnywhereAndWritesItAnew) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache test(path);
  test.cache.store("the key", "the code");
  const fs::path file = files_in(path).at(0);
  const std::string good = contents(file);
  for (std::size_t length = 0; length < good.size(); ++length) {
    overwrite(file, good.substr(0, length));
    EXPECT_EQ(test.cache.find("the key"), std::nullopt) << "cut to " << length;
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    overwrite(file, bad);
    EXPECT_EQ(test.cache.find("the key"), std::nullopt) << "changed at " << at;
  }
  overwrite(file, good + "x");
  EXPECT_EQ(test.cache.find("the key"), std::nullopt);
  test.cache.store("the key", "the code");
  EXPECT_EQ(test.cache.find("the key"), "the code");
  EXPECT_EQ(contents(file), good);
}

TEST(CodeCache, TakesNoEntryOfAnotherKeyUnderItsName) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache test(path);
  test.cache.store("one", "code of one");
  const fs::path one = files_in(path).at(0);
  test.cache.store("two", "code of two");
  for (const fs::path& file : files_in(path))
    if (file != one) fs::copy_file(one, file, fs::copy_options::overwrite_existing);
  EXPECT_EQ(test.cache.find("two"), std::nullopt);
}

TEST(CodeCache, ExecutesNothingThatOthersCouldHaveWritten) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache test(path);
  test.cache.store("key", "code");
  const fs::path file = files_in(path).at(0);
  for (const ::mode_t mode : {0620u, 0602u, 0666u}) {
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    EXPECT_EQ(test.cache.find("key"), std::nullopt);
  }
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  EXPECT_EQ(test.cache.find("key"), "code");
  // A link, a pipe and a folder of that name.
  fs::rename(file, folder.path() / "elsewhere");
  fs::create_symlink(folder.path() / "elsewhere", file);
  EXPECT_EQ(test.cache.find("key"), std::nullopt);
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(test.cache.find("key"), std::nullopt);
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_EQ(test.cache.find("key"), std::nullopt);
}

TEST(CodeCache, UsesNoFolderThatOthersMayWriteAndSaysSoOnce) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache(path).cache.store("key", "code");
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  TestCache test(path);
  EXPECT_EQ(test.cache.find("key"), std::nullopt);
  test.cache.store("key", "code");
  test.cache.store("other", "code");
  EXPECT_THAT(test.warnings, ElementsAre(HasSubstr(path.string() + " can be written by other users")));
  fs::create_symlink(path, folder.path() / "link");
  TestCache linked(folder.path() / "link");
  EXPECT_THAT(linked.warnings, ElementsAre(HasSubstr("cannot use the cache folder")));
}

TEST(CodeCache, UsesNoFolderOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder to somebody else";
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  fs::create_directory(path);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  ASSERT_EQ(::chown(path.c_str(), 1234, 1234), 0);
  TestCache test(path);
  test.cache.store("key", "code");
  EXPECT_TRUE(files_in(path).empty());
  EXPECT_THAT(test.warnings, ElementsAre(HasSubstr("belongs to another user")));
}

TEST(CodeCache, WithoutAPlaceForItOnlyWarns) {
  const TemporaryFolder folder;
  overwrite(folder.path() / "file", "");
  for (const fs::path& path : {folder.path() / "file", folder.path() / "file" / "below", fs::path("/proc/none")}) {
    TestCache test(path);
    test.cache.store("key", "code");
    EXPECT_EQ(test.cache.find("key"), std::nullopt);
    EXPECT_THAT(test.warnings, ElementsAre(HasSubstr("Set WEFT_CACHE to a folder of your own, or to off")));
  }
}

TEST(CodeCache, AFullDiskCostsTheCacheOnlyAndLeavesNothingBehind) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache test(path);
  test.cache.store("small", "code");
  // A file may not grow past this size: writes fail as they do on a full disk.
  ::rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &former), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit little{1000, former.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  test.cache.store("large", std::string(5000, 'x'));
  test.cache.store("larger", std::string(6000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &former), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(files_in(path).size(), 1u);
  EXPECT_EQ(test.cache.find("small"), "code");
  EXPECT_EQ(test.cache.find("large"), std::nullopt);
  EXPECT_THAT(test.warnings, ElementsAre(HasSubstr("cannot write in the cache folder")));
}

TEST(CodeCache, LetsTheEntriesGoThatWereUsedLongestAgo) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  TestCache test(path, 10000);
  const auto now = fs::file_time_type::clock::now();
  for (int i = 0; i < 8; ++i) {
    const std::vector<fs::path> before = files_in(path);
    test.cache.store("key" + std::to_string(i), std::string(1000, 'x'));
    for (const fs::path& file : files_in(path))
      if (std::find(before.begin(), before.end(), file) == before.end())
        fs::last_write_time(file, now - std::chrono::hours(20 - i));
  }
  EXPECT_EQ(test.cache.find("key1"), std::string(1000, 'x'));  // used now
  test.cache.store("last", std::string(3000, 'x'));
  std::vector<std::string> left;
  for (int i = 0; i < 8; ++i)
    if (test.cache.find("key" + std::to_string(i))) left.push_back("key" + std::to_string(i));
  EXPECT_THAT(left, ElementsAre("key1", "key5", "key6", "key7"));
  EXPECT_EQ(test.cache.find("last"), std::string(3000, 'x'));
  std::uintmax_t bytes = 0;
  for (const fs::path& file : files_in(path)) bytes += fs::file_size(file);
  EXPECT_LE(bytes, 7500u);
}

TEST(CodeCache, LeavesTheFilesOfOthersInItsFolderAlone) {
  const TemporaryFolder folder;
  overwrite(folder.path() / "thesis.tex", std::string(50000, 'x'));
  overwrite(folder.path() / ".writing", "a diary");
  for (const char* name : {"thesis.tex", ".writing"})
    fs::last_write_time(folder.path() / name, fs::file_time_type::clock::now() - std::chrono::hours(3));
  TestCache test(folder.path(), 10000);
  for (int i = 0; i < 20; ++i) test.cache.store("key" + std::to_string(i), std::string(1000, 'x'));
  EXPECT_EQ(fs::file_size(folder.path() / "thesis.tex"), 50000u);
  EXPECT_TRUE(fs::exists(folder.path() / ".writing"));
  EXPECT_EQ(test.cache.find("key19"), std::string(1000, 'x'));
  EXPECT_LT(files_in(folder.path()).size(), 15u);
}

TEST(CodeCache, RemovesWhatWritersThatDiedLeft) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  fs::create_directory(path);
  overwrite(path / ".weftcode-1-0-0", "half");
  overwrite(path / ".weftcode-2-0-0", "in the middle of it");
  fs::last_write_time(path / ".weftcode-1-0-0", fs::file_time_type::clock::now() - std::chrono::hours(3));
  ASSERT_EQ(::chmod(path.c_str(), 0700), 0);
  TestCache test(path);
  test.cache.store("key", "code");
  EXPECT_FALSE(fs::exists(path / ".weftcode-1-0-0"));
  EXPECT_TRUE(fs::exists(path / ".weftcode-2-0-0"));
}

TEST(CodeCache, EightWritersAndReadersOfTheSameEntriesSeeWholeOnesOnly) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  std::vector<::pid_t> children;
  for (int writer = 0; writer < 8; ++writer) {
    const ::pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      TestCache test(path, 40000);  // holds some of the entries, so that removing goes on meanwhile
      bool good = true;
      for (int round = 0; round < 200; ++round) {
        const std::string key = "key" + std::to_string((round * 7 + writer) % 20);
        const std::string code(static_cast<std::size_t>(1000 + 100 * (round % 20)), key.back());
        if (const auto found = test.cache.find(key))
          good = good && found->size() >= 1000 && found->find_first_not_of(key.back()) == std::string::npos;
        test.cache.store(key, code);
      }
      ::_exit(good && test.warnings.empty() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const ::pid_t child : children) {
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  for (const fs::path& file : files_in(path)) EXPECT_THAT(file.filename().string(), Not(::testing::StartsWith(".")));
}

}  // namespace
}  // namespace weft::cpu::testing
