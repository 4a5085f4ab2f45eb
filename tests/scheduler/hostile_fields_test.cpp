// Thousands of hostile site files and fields, made from a seed: what gets through has exactly the lines and directives
// that a harmless site's script has, and every word the shell sees is whole.
#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <sstream>

#include "scheduler/site.hpp"
#include "tests/scheduler/slurm_site.hpp"
#include "weft/error.hpp"

namespace weft::testing {
namespace {

class Hostile {
 public:
  explicit Hostile(unsigned seed) : random_(seed) {}

  std::string text() {
    static const std::string kPieces[] = {"$(touch canary)",
                                          "`touch canary`",
                                          ";",
                                          "&",
                                          "|",
                                          ">",
                                          "\n",
                                          "\r",
                                          "\t",
                                          " ",
                                          "'",
                                          "\"",
                                          "\\",
                                          "#SBATCH --uid=0",
                                          "--",
                                          "%",
                                          "#",
                                          "!",
                                          "*",
                                          "~",
                                          "{",
                                          "}",
                                          "=",
                                          "a",
                                          "b1",
                                          "-",
                                          "../",
                                          "\xc3\xa4",
                                          "/",
                                          ".",
                                          "_",
                                          ":",
                                          "+",
                                          ",",
                                          "[",
                                          "]",
                                          "x"};
    std::string out;
    for (int n = pick(6); n >= 0; --n) out += kPieces[pick(std::size(kPieces))];
    return out;
  }
  int pick(std::size_t below) { return static_cast<int>(random_() % below); }

 private:
  std::mt19937 random_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// What is left of a shell line when its single-quoted words are taken out. Quotes must pair.
std::string outside_quotes(const std::string& line) {
  std::string left;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!quoted && line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '\'') {
      ++i;  // the quote inside a quoted text: '\''
      continue;
    }
    if (line[i] == '\'')
      quoted = !quoted;
    else if (!quoted)
      left += line[i];
  }
  EXPECT_FALSE(quoted) << line;
  return left;
}

TEST(HostileFields, AScriptThatIsWrittenHasTheLinesOfAHarmlessOne) {
  const auto harmless = lines_of(job_script(slurm_job(), slurm_site(), four_by_eight(), plain_paths()));
  const std::regex directive("#SBATCH --[a-z-]+(=([A-Za-z0-9._:@-]+|\"[ A-Za-z0-9/._+@=,:~%-]*\"))?");
  Hostile hostile(7);
  int written = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto job = slurm_job();
    auto site = slurm_site();
    auto paths = plain_paths();
    site.partitions.clear();
    switch (hostile.pick(13)) {
      case 0: job.name = hostile.text(); break;
      case 1: job.resources.account = hostile.text(); break;
      case 2: job.resources.qos = hostile.text(); break;
      case 3: job.resources.partition = hostile.text(); break;
      case 4: job.resources.time = hostile.text(); break;
      case 5: site.mpi_plugin = hostile.text(); break;
      case 6: site.modules[0] = hostile.text(); break;
      case 7: site.environment = {{"UCX_TLS", hostile.text()}}; break;
      case 8: site.environment = {{hostile.text(), "x"}}; break;
      case 9: paths.run_folder = "/" + hostile.text(); break;
      case 11: paths.site = "/" + hostile.text(); break;
      case 10: paths.job = "/" + hostile.text(); break;
      default: paths.weft = "/" + hostile.text(); break;
    }
    std::string script;
    try {
      script = job_script(job, site, four_by_eight(), paths);
    } catch (const UserError&) {
      continue;
    }
    ++written;
    const auto lines = lines_of(script);
    const bool more = !job.resources.qos.empty();
    ASSERT_EQ(lines.size(), harmless.size() + (more ? 1 : 0)) << script;
    for (const auto& line : lines) {
      if (line.starts_with("#SBATCH")) {
        ASSERT_TRUE(std::regex_match(line, directive)) << line;
      } else if (!line.starts_with("#")) {
        ASSERT_EQ(outside_quotes(line).find("canary"), std::string::npos) << line;
      }
    }
  }
  EXPECT_GT(written, 1000) << "quoting was tried too, not only refusal";
}

TEST(HostileFields, SiteFilesAreReadOrRefusedNothingElse) {
  const std::string sound = site_to_yaml(slurm_site());
  Hostile hostile(11);
  int refused = 0;
  for (int i = 0; i < 5'000; ++i) {
    auto text = sound;
    const auto at = static_cast<std::size_t>(hostile.pick(text.size()));
    text.replace(at, static_cast<std::size_t>(hostile.pick(8)), hostile.text());
    try {
      const auto site = parse_site(text, "s.yaml", ".");
      (void)job_script(slurm_job(), site, {1, 1, 1, 0}, plain_paths());
    } catch (const UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace weft::testing
