// Where control groups are mounted, which are this process's, and what they allow.
#include "weft/memory_limit.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace weft {
namespace {

namespace fs = std::filesystem;

/// A number that is alone in a file; nothing for "max", and where there is no such file.
std::optional<std::int64_t> number_in(const fs::path& path) {
  std::ifstream in(path);
  std::int64_t number = 0;
  return in >> number && number >= 0 ? std::optional(number) : std::nullopt;
}

/// A line "MemTotal:  1024 kB" of /proc/meminfo, in bytes.
std::optional<std::int64_t> machine_memory(const fs::path& root, const std::string& key) {
  std::ifstream in(root / "proc/meminfo");
  for (std::string word; in >> word;)
    if (std::int64_t kibibytes = 0; word == key && in >> kibibytes) return kibibytes * 1024;
  return std::nullopt;
}

bool holds(const std::string& list, const std::string& word) {
  std::istringstream in(list);
  for (std::string entry; std::getline(in, entry, ',');)
    if (entry == word) return true;
  return false;
}

/// A mounted hierarchy of control groups that may limit memory.
struct Hierarchy {
  fs::path mount;    ///< where it is seen
  std::string from;  ///< the group that is seen there: not "/" in some containers
  bool second = false;
  const char* limit() const { return second ? "memory.max" : "memory.limit_in_bytes"; }
  const char* used() const { return second ? "memory.current" : "memory.usage_in_bytes"; }
};

std::vector<Hierarchy> hierarchies(const fs::path& root) {
  std::vector<Hierarchy> found;
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    // id parent device from mount options [optional fields] - type source options
    std::istringstream words(line);
    const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || fields.end() - dash < 4) continue;
    const bool second = dash[1] == "cgroup2";
    if (second || (dash[1] == "cgroup" && holds(dash[3], "memory")))
      found.push_back({root / fs::path(fields[4]).relative_path(), fields[3], second});
  }
  return found;
}

/// This process's group in a hierarchy, as /proc/self/cgroup tells: lines "number:controllers:group".
std::string group_in(const Hierarchy& hierarchy, const fs::path& root) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (hierarchy.second ? controllers.empty() : holds(controllers, "memory")) return line.substr(second + 1);
  }
  return "/";
}

/// The folders of this process's groups that limit memory, and of all groups above them.
struct Group {
  fs::path folder;
  const Hierarchy* hierarchy;
};

std::vector<Group> groups(const std::vector<Hierarchy>& all, const fs::path& root) {
  std::vector<Group> found;
  for (const Hierarchy& hierarchy : all) {
    fs::path group = fs::path(group_in(hierarchy, root)).lexically_relative(hierarchy.from);
    // A group that is not below what is mounted is not seen: what is mounted is its nearest.
    if (group.empty() || *group.begin() == "..") group = ".";
    for (fs::path folder = (hierarchy.mount / group).lexically_normal();; folder = folder.parent_path()) {
      found.push_back({folder, &hierarchy});
      if (std::distance(folder.begin(), folder.end()) <= std::distance(hierarchy.mount.begin(), hierarchy.mount.end()))
        break;
    }
  }
  return found;
}

}  // namespace

std::int64_t memory_limit(const fs::path& root) {
  std::int64_t limit =
      machine_memory(root, "MemTotal:").value_or(std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE));
  const std::vector<Hierarchy> all = hierarchies(root);
  for (const Group& group : groups(all, root))
    limit = std::min(limit, number_in(group.folder / group.hierarchy->limit()).value_or(limit));
  return limit;
}

std::int64_t available_memory(const fs::path& root) {
  std::int64_t available = machine_memory(root, "MemAvailable:").value_or(memory_limit(root));
  const std::vector<Hierarchy> all = hierarchies(root);
  for (const Group& group : groups(all, root)) {
    const auto limit = number_in(group.folder / group.hierarchy->limit());
    const auto used = number_in(group.folder / group.hierarchy->used());
    if (limit && used) available = std::min(available, std::max<std::int64_t>(*limit - *used, 0));
  }
  return available;
}

}  // namespace weft
