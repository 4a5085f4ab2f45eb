// The table of every key of a site file, and the rules between keys.
#include "scheduler/site.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "scheduler/script_text.hpp"
#include "src/settings/key_table.hpp"
#include "src/settings/nearest.hpp"
#include "src/settings/schema.hpp"
#include "src/settings/settings_file.hpp"
#include "src/settings/text_checks.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t bytes;
};
constexpr Unit kUnits[] = {{"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"TiB", 1LL << 40}, {"GB", 1'000'000'000}};

/// "64 GiB"; the word unknown is 0.
Key<SiteNode> memory_key() {
  Key<SiteNode> key;
  key.info = {.name = "memory",
              .type = "size: a number and GiB, MiB, TiB or GB; or unknown",
              .fallback = "unknown",
              .meaning = "of one node, as far as jobs may use it"};
  key.read = [](SiteNode& node, const YamlNode& given) {
    if (given.is_word("unknown")) {
      node.memory_bytes = 0;
      return;
    }
    const auto& text = read_text(given);
    for (const auto& unit : kUnits) {
      if (!text.ends_with(unit.name)) continue;
      auto count = given;
      count.quoted = false;
      count.text = text.substr(0, text.size() - unit.name.size());
      while (count.text.ends_with(' ')) count.text.pop_back();
      // At most a pebibyte, whatever the unit.
      const double most = static_cast<double>(1LL << 50) / static_cast<double>(unit.bytes);
      node.memory_bytes =
          static_cast<std::int64_t>(read_number(count, {0, most, true}) * static_cast<double>(unit.bytes));
      return;
    }
    fail_at(given, fmt::format("expected a size such as '64 GiB', or 'unknown'; found {}", given.described()));
  };
  key.write = [](const SiteNode& node) {
    if (node.memory_bytes == 0) return YamlNode::scalar("unknown");
    return YamlNode::scalar(
        fmt::format("{} MiB", static_cast<double>(node.memory_bytes) / static_cast<double>(1 << 20)));
  };
  return key;
}

void check_module(const YamlNode& node) {
  if (!is_module_name(node.text))
    fail_at(node,
            fmt::format("{} will not do as a module: letters, digits and . _ + - / : = only, starting with a letter "
                        "or digit, as in openmpi/4.1.4",
                        node.described()));
}

void check_variable(const YamlNode& map, const YamlEntry& entry) {
  if (!is_variable_name(entry.key))
    fail_at(map, entry, "an environment variable's name has letters, digits and '_', and no digit first");
  // YAML's reader refuses control characters already; what is left can be quoted for a shell.
  if (entry.value.text.size() > 1024) fail_at(entry.value, "longer than 1024 characters");
}

Keys<SitePartition> partition_keys() {
  using P = SitePartition;
  Keys<P> keys;
  keys.push_back(text<P>("name", &P::name, "as the scheduler knows it", check_name).required());
  keys.push_back(integer<P>("nodes", &P::nodes, {1, 1'000'000}, "nodes", "how many it has"));
  keys.push_back(integer<P>("max_nodes_per_job", &P::max_nodes_per_job, {0, 1'000'000}, "nodes",
                            "most that one job may have", "unlimited"));
  keys.push_back(text<P>("max_time", &P::max_time, "longest time limit, HH:MM:SS or D-HH:MM:SS", check_time_limit));
  return keys;
}

Keys<SiteNode> node_keys() {
  using N = SiteNode;
  Keys<N> keys;
  keys.push_back(integer<N>("sockets", &N::sockets, {1, 64}, "sockets", "processors of a node"));
  keys.push_back(integer<N>("cores_per_socket", &N::cores_per_socket, {1, 1024}, "cores", "physical cores"));
  keys.push_back(integer<N>("numa_per_socket", &N::numa_per_socket, {1, 64}, "domains", "NUMA domains"));
  keys.push_back(memory_key());
  return keys;
}

Keys<Site> site_keys() {
  using S = Site;
  Keys<S> keys;
  keys.push_back(text<S>("name", &S::name, "of the site; names its calibration file", check_name).required());
  keys.push_back(choice<S>("scheduler", &S::scheduler, {"slurm", "none"}, "who starts jobs"));
  keys.push_back(section<S, SiteNode>("node", &S::node, node_keys(), "what a node has").required());
  keys.push_back(section_list<S, SitePartition>("partitions", &S::partitions, partition_keys(), "of the scheduler"));
  keys.push_back(text<S>("partition", &S::partition, "where jobs go that name none", check_optional_name).omit_empty());
  keys.push_back(text<S>("account", &S::account, "charged for jobs that name none", check_optional_name).omit_empty());
  keys.push_back(
      text<S>("qos", &S::qos, "quality of service of jobs that name none", check_optional_name).omit_empty());
  keys.push_back(text<S>("mpi_plugin", &S::mpi_plugin, "srun's --mpi (see `srun --mpi=list`)", check_name));
  keys.push_back(text_list<S>("modules", &S::modules, "loaded by job scripts, in this order", {}, check_module));
  keys.push_back(text_map<S>("environment", &S::environment, "variables set by job scripts", check_variable));
  keys.push_back(integer<S>("signal_seconds", &S::signal_seconds, {10, 65'535}, "seconds",
                            "notice that jobs get before their time ends, to save and leave"));
  keys.push_back(boolean<S>("requeue", &S::requeue, "a job stopped early goes back into the queue and resumes"));
  keys.push_back(
      integer<S>("max_restarts", &S::max_restarts, {0, 10'000}, "times", "how often one job goes back into the queue"));
  keys.push_back(text<S>("calibration", &S::calibration,
                         "file of measured costs, beside the site file; none: NAME.calibration.json")
                     .omit_empty());
  return keys;
}

void check_site(const Site& site, const YamlNode& document) {
  const auto fail = [&](std::string_view key, const std::string& message) {
    const auto* place = document.find(key);
    fail_at(place ? *place : document, message);
  };
  std::vector<std::string> names;
  for (const auto& partition : site.partitions) {
    if (std::find(names.begin(), names.end(), partition.name) != names.end())
      fail("partitions", fmt::format("'{}' is there twice", partition.name));
    names.push_back(partition.name);
    if (partition.max_nodes_per_job > partition.nodes)
      fail("partitions", fmt::format("'{}' allows a job {} nodes and has {}", partition.name,
                                     partition.max_nodes_per_job, partition.nodes));
  }
  if (!site.partition.empty() && !names.empty() && !site.find_partition(site.partition))
    fail("partition",
         fmt::format("'{}' is not one of the partitions{}", site.partition, did_you_mean(site.partition, names)));
  if (site.scheduler == "none" && !site.partitions.empty())
    fail("partitions", "belong to a scheduler; add `scheduler: slurm`");
}

}  // namespace

Site parse_site(std::string_view text, std::string_view source, const std::string& directory) {
  auto document = parse_settings(text, source, "see jobscripts/sites for examples of site files");
  set_paths(document, "");
  Site site;
  site.directory = directory;
  read_keys(site_keys(), site, document, "");
  check_site(site, document);
  return site;
}

Site read_site(const std::filesystem::path& file) {
  const auto text = read_settings_text(file, "site file");
  const auto folder = file.parent_path();
  return parse_site(text, file.string(), folder.empty() ? "." : folder.string());
}

std::string site_to_yaml(const Site& site) { return write_yaml(write_keys(site_keys(), site, "")); }

std::string site_schema_text() {
  return schema_text(flattened(site_keys(), ""),
                     "Every key of a site file: path, type, default, unit, and what it means.\n");
}

std::string site_schema_json() { return schema_json(flattened(site_keys(), "")); }

std::filesystem::path calibration_path(const Site& site) {
  const auto name = site.calibration.empty() ? site.name + ".calibration.json" : site.calibration;
  return (std::filesystem::path(site.directory) / name).lexically_normal();
}

}  // namespace weft
