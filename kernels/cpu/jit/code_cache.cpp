// Entries of the code cache: header, key, code.
#include "kernels/cpu/jit/code_cache.hpp"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft::cpu {
namespace {

struct Header {
  char magic[8] = {'w', 'e', 'f', 't', 'c', 'o', 'd', '1'};
  std::uint64_t key_bytes = 0;
  std::uint64_t code_bytes = 0;
  std::uint64_t checksum = 0;  ///< of key and code
};

std::string file_name(const std::string& key) { return hash_text(hash64(key)).append(kSuffix); }

std::string entry_of(const std::string& key, std::string_view code) {
  Header header;
  header.key_bytes = key.size();
  header.code_bytes = code.size();
  std::string entry(sizeof header, '\0');
  entry.reserve(sizeof header + key.size() + code.size());
  entry += key;
  entry += code;
  header.checksum = hash64(std::string_view(entry).substr(sizeof header));
  std::memcpy(entry.data(), &header, sizeof header);
  return entry;
}

/// Empty when `entry` is not a whole one of `key`.
std::optional<std::string> code_of(const std::string& key, const std::string& entry) {
  Header header;
  const Header expected;
  if (entry.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, entry.data(), sizeof header);
  const std::string_view rest = std::string_view(entry).substr(sizeof header);
  if (std::memcmp(header.magic, expected.magic, sizeof header.magic) != 0 || header.key_bytes != key.size() ||
      rest.size() < key.size() || header.code_bytes != rest.size() - key.size() || rest.substr(0, key.size()) != key ||
      header.checksum != hash64(rest))
    return std::nullopt;
  return std::string(rest.substr(key.size()));
}

}  // namespace

std::filesystem::path cache_root(const std::function<const char*(const char*)>& variable) {
  const auto text = [&](const char* name) {
    const char* value = variable(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (const auto folder = text("WEFT_CACHE"); !folder.empty()) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(folder, error);
    return folder == "off" ? std::filesystem::path() : error ? folder : absolute;
  }
  if (const auto cache = text("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "weft";
  if (const auto home = text("HOME"); home.is_absolute()) return home / ".cache" / "weft";
  const auto temporary = text("TMPDIR");
  return (temporary.is_absolute() ? temporary : "/tmp") / ("weft-" + std::to_string(::geteuid()));
}

CodeCache::CodeCache(CodeCacheOptions options) : options_(std::move(options)) {
  if (options_.folder.empty()) return;
  try {
    folder_.emplace(options_.folder);
  } catch (const SystemError& e) {
    warn(e.what());
  }
}

std::optional<std::string> CodeCache::find(const std::string& key) {
  if (!folder_) return std::nullopt;
  const std::optional<std::string> entry = folder_->read(file_name(key));
  return entry ? code_of(key, *entry) : std::nullopt;
}

void CodeCache::store(const std::string& key, std::string_view code) {
  if (!folder_ || !writable_) return;
  const std::string entry = entry_of(key, code);
  try {
    folder_->write(file_name(key), entry);
  } catch (const SystemError& e) {
    writable_ = false;
    return warn(e.what());
  }
  const auto size = static_cast<std::int64_t>(entry.size());
  if (bytes_ < 0 || bytes_.fetch_add(size) + size > options_.limit_bytes)
    bytes_ = folder_->shrink(options_.limit_bytes);
}

void CodeCache::warn(const std::string& what) {
  if (warned_.exchange(true) || !options_.warn) return;
  options_.warn(what +
                ": compiled kernels are not kept for the next run. Set WEFT_CACHE to a folder of your own, or "
                "to off");
}

}  // namespace weft::cpu
