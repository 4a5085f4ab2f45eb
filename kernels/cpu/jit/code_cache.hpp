// Object code kept between runs, so that a program that ran before starts without the optimiser.
//
// An entry is one file, named by the hash of its key and holding the whole key: what was compiled, for what, by what
// (emitter_version). Whatever is not exactly what was written, by this user, is as good as absent and is overwritten.
// The cache never fails a run: what goes wrong is told once, and costs the cache.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/cpu/jit/cache_folder.hpp"

namespace weft::cpu {

struct CodeCacheOptions {
  std::filesystem::path folder{};  ///< empty: nothing is kept
  std::int64_t limit_bytes = std::int64_t{512} << 20;
  std::function<void(const std::string&)> warn{};  ///< told at most once, from any thread
};

/// The folder that the environment asks for: $WEFT_CACHE; else $XDG_CACHE_HOME/weft, ~/.cache/weft, or, without a home,
/// a folder of this user's in $TMPDIR or /tmp. Empty when WEFT_CACHE is "off". `variable` looks a variable up, as
/// getenv does.
std::filesystem::path cache_root(const std::function<const char*(const char*)>& variable);

/// Thread-safe, and safe beside other processes that use the same folder.
class CodeCache {
 public:
  explicit CodeCache(CodeCacheOptions options);

  /// Whether what is stored will be found, as far as is known.
  bool keeps() const { return folder_.has_value() && writable_; }
  std::optional<std::string> find(const std::string& key);
  void store(const std::string& key, std::string_view code);

 private:
  void warn(const std::string& what);

  CodeCacheOptions options_;
  std::optional<CacheFolder> folder_;
  std::atomic<bool> warned_ = false;
  std::atomic<bool> writable_ = true;
  std::atomic<std::int64_t> bytes_ = -1;  ///< in the folder, as far as this process knows; -1: not at all
};

}  // namespace weft::cpu
